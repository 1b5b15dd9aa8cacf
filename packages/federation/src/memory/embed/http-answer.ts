import { FederationError, toFederationError } from "../../runtime/errors.ts";
import { describe, isRecord } from "../../runtime/json.ts";
import { decodeFloats } from "../transfer/float-text.ts";

/**
 * The vectors of an answer of `POST /v1/embeddings`, in the order of the texts: `{ data: [{ index, embedding }] }`, where an embedding is an array
 * of numbers or base64 of little-endian 32-bit floats. Throws FederationError "protocol".
 */
export function parseEmbeddings(body: unknown, count: number): ArrayLike<number>[] {
  const data = isRecord(body) ? body["data"] : undefined;
  if (!Array.isArray(data)) throw wrong("a list in data", describe(isRecord(body) ? data : body));
  if (data.length !== count) throw wrong(`${count} entries in data`, `${data.length}`);
  const vectors: ArrayLike<number>[] = [];
  const seen = new Set<number>();
  for (const [position, entry] of data.entries() as ArrayIterator<[number, unknown]>) {
    if (!isRecord(entry)) throw wrong("an object for each text", describe(entry));
    const index = entry["index"] ?? position; // some servers leave it out
    if (typeof index !== "number" || !Number.isInteger(index) || index < 0 || index >= count)
      throw wrong(`an index from 0 to ${count - 1}`, describe(index));
    if (seen.has(index)) throw wrong("each index once", `${index} twice`);
    seen.add(index);
    vectors[index] = parseVector(entry["embedding"]);
  }
  return vectors;
}

function parseVector(value: unknown): ArrayLike<number> {
  if (typeof value === "string") {
    try {
      return decodeFloats(value);
    } catch (error) {
      throw toFederationError(error, "protocol", "embeddings");
    }
  }
  // What in it is no number is found where all vectors are checked.
  if (Array.isArray(value)) return value as number[];
  throw wrong("numbers or base64 in embedding", describe(value));
}

function wrong(expected: string, found: string): FederationError {
  return new FederationError("protocol", `embeddings: expected ${expected}, got ${found}`);
}
