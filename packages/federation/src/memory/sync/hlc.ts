import type { Hlc } from "../memory-row.ts";

/** The greatest counter: the database keeps it in 32 bits. */
export const maxCounter = 2_147_483_647;

/** Which of two writes of one memory stays. The database decides in the same way; hlc-cases.json is held against both. */
export type Winner = "held" | "incoming" | "same";

/** Below 0 where `a` is earlier, 0 for the same write. Order: `ms`, `counter`, then `writer` by its UTF-8 bytes. */
export function compareHlc(a: Hlc, b: Hlc): number {
  return a.ms - b.ms || a.counter - b.counter || compareUtf8(a.writer, b.writer);
}

export function winnerOf(held: Hlc, incoming: Hlc): Winner {
  const order = compareHlc(held, incoming);
  if (order === 0) return "same";
  return order < 0 ? "incoming" : "held";
}

/** The reading for a new write: later than `last`, and not before `nowMs`. */
export function tick(nowMs: number, last: Hlc): Hlc {
  const { ms, counter, writer } = last;
  const wholeMs = Math.floor(nowMs); // a corrected time has fractions, and two of them are one millisecond
  if (wholeMs > ms) return { ms: wholeMs, counter: 0, writer };
  if (counter < maxCounter) return { ms, counter: counter + 1, writer };
  return { ms: ms + 1, counter: 0, writer };
}

/** The reading for a write that answers `seen`: later than both, whoever wrote that. */
export function receive(nowMs: number, last: Hlc, seen: Hlc): Hlc {
  return tick(nowMs, { ...laterOf(last, seen), writer: last.writer });
}

/** Time and counter only: the next reading must be later whatever the writers are called. */
export function laterOf(a: Hlc, b: Hlc): Hlc {
  return (a.ms - b.ms || a.counter - b.counter) >= 0 ? a : b;
}

/** UTF-8 bytes sort as code points do; UTF-16 units do not, since surrogates are below U+E000 and stand for what is above U+FFFF. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const x = a.charCodeAt(at);
    const y = b.charCodeAt(at);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
