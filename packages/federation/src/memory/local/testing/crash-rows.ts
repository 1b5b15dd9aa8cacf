import type { MemoryRow } from "../../memory-row.ts";
import { rowOf, tombstoneOf } from "./rows.ts";

/** The row that a trial's child writes as this version of the id: everything in it follows from the two, so a half-written one shows. */
export function crashRow(id: string, version: number): MemoryRow {
  const random = generator(hash(`${id} ${version}`));
  const row = rowOf({
    id,
    version,
    content: `${id} in version ${version} ${"abc ".repeat(Math.floor(random() * 200))}`,
    embedding: random() < 0.3 ? null : Float32Array.from({ length: 32 }, () => random() - 0.5),
    metadata: { version, even: version % 2 === 0, tags: [`t${version % 7}`] },
    hlc: { ms: version, counter: 0, writer: "child" },
  });
  return random() < 0.1
    ? tombstoneOf({ ...row, version: version - 1 }, "2026-02-01T00:00:00.000Z", version)
    : row;
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
