export interface ParsedToken {
  readonly algorithm: string;
  readonly keyId: string | undefined;
  readonly claims: Readonly<Record<string, unknown>>;
}

const maxTokenLength = 16_384;

/** Three base64url parts (the last is empty with `alg: none`), the first two JSON objects. Undefined for anything else. Checks no signature. */
export function parseToken(token: string): ParsedToken | undefined {
  const parts = token.split(".");
  if (token.length > maxTokenLength || parts.length !== 3 || !/^[\w-]+\.[\w-]+\.[\w-]*$/.test(token))
    return undefined;
  const header = parseObject(parts[0]);
  const claims = parseObject(parts[1]);
  if (header === undefined || claims === undefined || typeof header["alg"] !== "string") return undefined;
  const keyId = header["kid"];
  return { algorithm: header["alg"], keyId: typeof keyId === "string" ? keyId : undefined, claims };
}

function parseObject(part: string | undefined): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part ?? "", "base64url").toString("utf8"));
    if (typeof value !== "object" || value === null || Array.isArray(value)) return undefined;
    // JSON.parse makes plain objects with string keys; arrays and null are excluded above.
    return value as Record<string, unknown>;
  } catch {
    return undefined;
  }
}
