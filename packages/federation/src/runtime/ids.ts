/** A random UUID, also where `crypto.randomUUID` is missing (pages served over plain HTTP). */
export function newId(): string {
  if (typeof crypto.randomUUID === "function") return crypto.randomUUID();
  return uuidFromBytes(crypto.getRandomValues(new Uint8Array(16)), 4);
}

/** The first 16 bytes as a UUID of the given version, RFC 9562 variant. */
export function uuidFromBytes(bytes: Uint8Array, version: number): string {
  const hex = [...bytes.subarray(0, 16)].map((byte, index) => {
    if (index === 6) return (byte & 0x0f) | (version << 4);
    if (index === 8) return (byte & 0x3f) | 0x80;
    return byte;
  });
  const text = hex.map((byte) => byte.toString(16).padStart(2, "0")).join("");
  return [text.slice(0, 8), text.slice(8, 12), text.slice(12, 16), text.slice(16, 20), text.slice(20)].join(
    "-",
  );
}
