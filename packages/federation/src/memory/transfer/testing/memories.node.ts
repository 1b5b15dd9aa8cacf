import { createHash } from "node:crypto";
import fc from "fast-check";
import type { TransferMemory } from "../transfer-memory.ts";

export function hash(content: string): string {
  return createHash("sha256").update(content).digest("hex");
}

/** A memory of which only what matters is said. */
export function memory(id: string, fields: Partial<TransferMemory> = {}): TransferMemory {
  const content = fields.content ?? `the content of ${id}`;
  return {
    id,
    agent_id: "ann",
    session_id: null,
    content,
    embedding: null,
    embedding_model: null,
    metadata: {},
    source: null,
    scope: "tenant",
    written_by: "ann",
    content_hash: hash(content),
    supersedes: null,
    superseded_by: null,
    version: 1,
    created_at: "2026-01-02T03:04:05.678Z",
    updated_at: "2026-01-02T03:04:05.678Z",
    expires_at: null,
    deleted_at: null,
    hlc: { ms: 1_767_323_045_678, counter: 0, writer: "ann.1" },
    ...fields,
  };
}

const anyText = fc.string({ unit: "binary", maxLength: 30 }).filter((text) => !text.includes("\0"));
const anyId = anyText.filter((text) => text !== "" && Buffer.byteLength(text) <= 255);
const anyAgent = fc.stringMatching(/^[A-Za-z0-9._@-]{1,128}$/);
const anyTime = fc
  .date({ min: new Date(0), max: new Date("9999-01-01"), noInvalidDate: true })
  .map((date) => date.toISOString());
// JSON's numbers have no −0.
const anyFloat = fc.float({ noNaN: true, noDefaultInfinity: true }).map((value) => (value === 0 ? 0 : value));
const anyVector = fc
  .array(anyFloat, { minLength: 1, maxLength: 9 })
  .filter((numbers) => numbers.some((value) => value !== 0))
  .map((numbers) => Float32Array.from(numbers));
const anyJson = fc.jsonValue({ maxDepth: 2 }).map((value) => JSON.parse(JSON.stringify(value)) as unknown);

export const anyMemory: fc.Arbitrary<TransferMemory> = fc
  .record({
    id: anyId,
    agent_id: anyAgent,
    session_id: fc.option(anyId),
    content: anyText,
    embedding: fc.option(anyVector),
    embedding_model: fc.option(anyId),
    metadata: fc.dictionary(fc.string({ maxLength: 5 }), anyJson).map((value) => ({ ...value })),
    source: anyJson,
    scope: fc.constantFrom("agent" as const, "session" as const, "tenant" as const),
    written_by: anyId,
    supersedes: fc.option(anyId),
    superseded_by: fc.option(anyId),
    version: fc.nat(),
    created_at: anyTime,
    updated_at: anyTime,
    expires_at: fc.option(anyTime),
    hlc: fc.record({ ms: fc.nat(), counter: fc.nat(), writer: anyId }),
  })
  .map((fields) => ({ ...fields, content_hash: hash(fields.content), deleted_at: null }));
