import { isDeepStrictEqual } from "node:util";
import { rowOf, tombstoneOf } from "../../local/testing/rows.ts";
import type { MemoryRow } from "../../memory-row.ts";

/**
 * The row that a trial's child writes as this generation of the id: everything in it follows from the two, so a half-written one shows.
 * The generation is the row's clock, which the database keeps; its version is the database's own.
 */
export function crashRow(id: string, generation: number): MemoryRow {
  const random = generator(hash(`${id} ${generation}`));
  const row = rowOf({
    id,
    version: generation,
    content: `${id} in generation ${generation} ${"abc ".repeat(Math.floor(random() * 200))}`,
    embedding: random() < 0.3 ? null : Float32Array.from({ length: 32 }, () => random() - 0.5),
    metadata: { generation, even: generation % 2 === 0, tags: [`t${generation % 7}`] },
    hlc: { ms: generation, counter: 0, writer: "child" },
  });
  return random() < 0.1
    ? tombstoneOf({ ...row, version: generation - 1 }, "2026-02-01T00:00:00.000Z", generation)
    : row;
}

export type CrashFacts = Pick<MemoryRow, "id" | "content" | "embedding" | "metadata" | "deleted_at" | "hlc">;

/** Whether it is the whole of what was written, as far as that is not the database's to say. */
export function isWhole({ id, content, embedding, metadata, deleted_at, hlc }: CrashFacts): boolean {
  const written = crashRow(id, hlc.ms);
  return (
    content === written.content &&
    isDeepStrictEqual(embedding, written.embedding) &&
    isDeepStrictEqual(metadata, written.metadata) &&
    isDeepStrictEqual(hlc, written.hlc) &&
    (deleted_at === null) === (written.deleted_at === null)
  );
}

/** Whether one of these generations is a deletion, so that nothing at all may be left. */
export function mayBeGone(id: string, from: number, to: number): boolean {
  for (let generation = Math.max(1, from); generation <= to; generation++)
    if (crashRow(id, generation).deleted_at !== null) return true;
  return false;
}

/** Numbers from 0 below 1, the same for the same seed. */
export function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function hash(text: string): number {
  let sum = 17;
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum, 31) + text.charCodeAt(at);
  return sum;
}
