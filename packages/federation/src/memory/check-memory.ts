import { requireId } from "../config/ids.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, toJson } from "../runtime/json.ts";
import { Blocks } from "./blocks.ts";
import { jsonbBytes } from "./jsonb-size.ts";
import type { AgentMemory, MemoryScope } from "./memory.ts";

export const maxIdBytes = 255;
export const maxContentBytes: number = 1024 * 1024;
export const maxDimensions = 4096;
/** Of metadata: parsers give up at different depths, Postgres' among them. */
export const maxDepth = 500;

/** Nobody else's, and never changed; of 32 bits where it came so. */
export type CheckedVector = readonly number[] | Float32Array;

/** A memory as it is sent: checked, complete, plain JSON. Keys that were not given are absent, so that the defaults hold. */
export interface CheckedMemory {
  readonly id: string;
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly session_id?: string;
  readonly content: string;
  readonly embedding?: CheckedVector;
  readonly embedding_model?: string;
  readonly metadata?: Readonly<Record<string, unknown>>;
  readonly source?: unknown;
  readonly scope?: MemoryScope;
  readonly supersedes?: string;
  readonly created_at?: string;
  readonly expires_at?: string;
}

/** Throws FederationError "invalid_argument" or "too_large" that names the field, what was expected and what was found. */
export function checkMemory(memory: AgentMemory): CheckedMemory {
  if (!isRecord(memory)) throw invalid("storeMemory", "a memory object", memory);
  const { embedding, metadata, source, scope } = memory;
  const id = checkText(memory.id, "storeMemory id", maxIdBytes, 1);
  const supersedes = optionalText(memory, "supersedes");
  if (supersedes === id) throw invalid("storeMemory supersedes", "another memory's id", id);
  const tenant_id = requireId(memory.tenant_id, "storeMemory tenant_id");
  const agent_id = requireId(memory.agent_id, "storeMemory agent_id");
  const session_id = optionalText(memory, "session_id");
  const content = checkText(memory.content, "storeMemory content", maxContentBytes, 0);
  const vector = embedding == null ? undefined : checkEmbedding(embedding, "storeMemory embedding");
  const embedding_model = optionalText(memory, "embedding_model");
  const given = metadata == null ? undefined : checkMetadata(metadata, "storeMemory metadata");
  const origin = source == null ? undefined : checkJson(source, "storeMemory source");
  const created_at = optionalTime(memory, "created_at");
  const expires_at = optionalTime(memory, "expires_at");
  // Keys are added to what is made here: a copy for each that may be absent took longer than all checks.
  const checked: Writable<CheckedMemory> = { id, tenant_id, agent_id, content };
  if (session_id !== undefined) checked.session_id = session_id;
  if (vector !== undefined) checked.embedding = vector;
  if (embedding_model !== undefined) checked.embedding_model = embedding_model;
  if (given !== undefined) checked.metadata = given;
  if (origin !== undefined) checked.source = origin;
  if (scope !== undefined) checked.scope = checkScope(scope);
  if (supersedes !== undefined) checked.supersedes = supersedes;
  if (created_at !== undefined) checked.created_at = created_at;
  if (expires_at !== undefined) checked.expires_at = expires_at;
  return checked;
}

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };

function optionalText(
  memory: AgentMemory,
  name: "session_id" | "embedding_model" | "supersedes",
): string | undefined {
  const value = memory[name];
  return value == null ? undefined : checkText(value, `storeMemory ${name}`, maxIdBytes, 1);
}

function optionalTime(memory: AgentMemory, name: "created_at" | "expires_at"): string | undefined {
  const value = memory[name];
  return value == null ? undefined : checkTime(value, `storeMemory ${name}`);
}

/** The numbers as an array of their own; accepts Float32Array and the like, and gives a Float32Array for one. */
export function checkEmbedding(embedding: ArrayLike<number>, what: string): CheckedVector {
  const isList = Array.isArray(embedding) || (ArrayBuffer.isView(embedding) && "length" in embedding);
  if (!isList) throw invalid(what, "an array of numbers", embedding);
  const { length } = embedding;
  if (length < 1 || length > maxDimensions) throw invalid(what, `1 to ${maxDimensions} numbers`, length);
  // Copying 32-bit numbers as they are takes a fifth; where something is wrong with them, the loop below says what.
  if (embedding instanceof Float32Array && isDirection(embedding)) return blocks.floats(embedding);
  // One loop over an array that is long enough from the beginning: every search and every write comes through here.
  // oxlint-disable-next-line unicorn/no-new-array -- a list that grows takes three times as long
  const numbers = new Array<number>(length);
  let hasDirection = false;
  for (let at = 0; at < length; at++) {
    const value: unknown = embedding[at];
    const rounded = typeof value === "number" ? Math.fround(value) : Number.NaN;
    if (typeof value !== "number" || !Number.isFinite(rounded))
      throw invalid(what, `finite numbers that fit 32 bits, at place ${at}`, value);
    if (rounded !== 0) hasDirection = true;
    numbers[at] = value;
  }
  // Postgres keeps 32 bits: what is zero there has no direction, and no distance to anything.
  if (!hasDirection) throw invalid(what, "a number that is not zero", "only zeros");
  return numbers;
}

const blocks = new Blocks();

/** A whole number from 1 up. */
export function checkLimit(limit: number, what: string): number {
  if (!Number.isSafeInteger(limit) || limit < 1) throw invalid(what, "a whole number above 0", limit);
  return limit;
}

/** Text that Postgres can hold, of a limited size as UTF-8. */
export function checkText(value: unknown, what: string, maxBytes: number, minLength: number): string {
  if (typeof value !== "string") throw invalid(what, "text", value);
  if (value.length < minLength) throw invalid(what, "text that is not empty", value);
  refuseUnstorable(value, what);
  if (value.length * 3 <= maxBytes) return value; // no text needs more than three bytes a unit
  const sizeBytes = new TextEncoder().encode(value).length;
  if (sizeBytes > maxBytes) {
    throw new FederationError("too_large", `${what}: expected at most ${maxBytes} bytes, got ${sizeBytes}`);
  }
  return value;
}

export function checkMetadata(metadata: unknown, what: string): Readonly<Record<string, unknown>> {
  const value = isRecord(metadata) ? checkJson(metadata, what) : undefined;
  if (!isRecord(value)) throw invalid(what, "an object", metadata);
  return value;
}

export function checkJson(given: unknown, what: string): unknown {
  const { value, sizeBytes } = toJson(given, what);
  refuseUnstorableWithin(value, what, 0);
  // Nothing becomes a hundred times as long.
  const printedBytes = sizeBytes * 100 > maxContentBytes ? jsonbBytes(value) : sizeBytes;
  if (printedBytes > maxContentBytes) {
    throw new FederationError(
      "too_large",
      `${what}: expected at most ${maxContentBytes} bytes of JSON as Postgres prints it, got ${printedBytes}`,
    );
  }
  return value;
}

function refuseUnstorableWithin(value: unknown, what: string, depth: number): void {
  if (typeof value === "string") return refuseUnstorable(value, what);
  if (typeof value !== "object" || value === null) return;
  if (depth === maxDepth) throw invalid(what, `JSON nested at most ${maxDepth} deep`, "deeper");
  for (const [key, each] of Object.entries(value)) {
    refuseUnstorable(key, what);
    refuseUnstorableWithin(each, what, depth + 1);
  }
}

const halfPair = /\p{Surrogate}/u; // here, or every text would make one

/** Postgres' text and jsonb hold neither U+0000 nor half a surrogate pair. */
function refuseUnstorable(value: string, what: string): void {
  if (value.includes("\u0000"))
    throw invalid(what, "text without U+0000, which the database cannot hold", "one");
  if (halfPair.test(value)) throw invalid(what, "well-formed Unicode", "half a surrogate pair");
}

function checkScope(scope: unknown): MemoryScope {
  if (scope === "agent" || scope === "session" || scope === "tenant") return scope;
  throw invalid("storeMemory scope", "agent, session or tenant", scope);
}

/** ISO 8601 with a zone, as `Date.prototype.toISOString` makes it and as Postgres returns it; a Date is taken as well. */
export function checkTime(value: unknown, what: string): string {
  if (value instanceof Date && !Number.isNaN(value.getTime())) return value.toISOString();
  const isTime = typeof value === "string" && isoTime.test(value) && !Number.isNaN(Date.parse(value));
  if (!isTime) throw invalid(what, "a time such as 2026-01-31T12:00:00Z", value);
  return value;
}

const isoTime = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d(:?\d\d)?)$/;

/** Whether all numbers are finite and one is not zero. Four sums at a time: a single one waits for itself. */
export function isDirection(vector: Float32Array): boolean {
  const inFours = vector.length - (vector.length % 4);
  let [a, b, c, d] = [0, 0, 0, 0];
  for (let at = 0; at < inFours; at += 4) {
    a += Math.abs(vector[at]!); // within its length, so never undefined
    b += Math.abs(vector[at + 1]!);
    c += Math.abs(vector[at + 2]!);
    d += Math.abs(vector[at + 3]!);
  }
  for (let at = inFours; at < vector.length; at++) a += Math.abs(vector[at]!);
  const sum = a + b + c + d;
  return sum > 0 && sum < Infinity;
}

function invalid(what: string, expected: string, found: unknown): FederationError {
  const shown = typeof found === "string" ? JSON.stringify(found.slice(0, 60)) : String(found);
  return new FederationError("invalid_argument", `${what}: expected ${expected}, got ${shown}`);
}
