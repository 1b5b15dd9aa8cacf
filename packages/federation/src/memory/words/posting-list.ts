import type { ByteWriter } from "./byte-writer.ts";

/** Slots are kept in shelves of this many: a shelf has its own lists of words, so that what is written together lies together. */
export const shelfSlots = 4096;

/** Where a word occurs within one shelf: places 0 to `shelfSlots` − 1, ascending, and how often it occurs there. Valid up to `length`. */
export class Postings {
  readonly places: Uint16Array = new Uint16Array(shelfSlots);
  readonly counts: Uint32Array = new Uint32Array(shelfSlots);
  length = 0;

  push(place: number, count: number): void {
    this.places[this.length] = place;
    this.counts[this.length++] = count;
  }
}

/**
 * A posting is the distance from the one before, doubled, plus one where the word occurs more than once; then follows how often, less two.
 * Most are one byte.
 */
export function encodePostings(postings: Postings, writer: ByteWriter): void {
  let before = -1;
  for (let index = 0; index < postings.length; index++) {
    const place = postings.places[index] ?? 0;
    const count = postings.counts[index] ?? 0;
    writer.number(((place - before - 1) << 1) | (count > 1 ? 1 : 0));
    if (count > 1) writer.number(count - 2);
    before = place;
  }
}

export function decodePostings(bytes: Uint8Array, start: number, end: number, into: Postings): void {
  const { places, counts } = into;
  let length = 0;
  let place = -1;
  for (let at = start; at < end;) {
    let byte = bytes[at++] ?? 0;
    let value = byte & 0x7f;
    for (let shift = 7; byte > 0x7f; shift += 7) {
      byte = bytes[at++] ?? 0;
      value |= (byte & 0x7f) << shift;
    }
    place += (value >> 1) + 1;
    let count = 1;
    if (value & 1) {
      byte = bytes[at++] ?? 0;
      count = byte & 0x7f;
      for (let shift = 7; byte > 0x7f; shift += 7) {
        byte = bytes[at++] ?? 0;
        count |= (byte & 0x7f) << shift;
      }
      count += 2;
    }
    places[length] = place;
    counts[length++] = count;
  }
  into.length = length;
}

/** What `before` is after the changes, each of which puts another count at a place; 0 takes the place out. */
export function changePostings(before: Postings, changes: Postings, into: Postings): void {
  into.length = 0;
  let old = 0;
  for (let at = 0; at < changes.length; at++) {
    const place = changes.places[at] ?? 0;
    const count = changes.counts[at] ?? 0;
    while (old < before.length && (before.places[old] ?? 0) < place) copyOne(before, old++, into);
    if (old < before.length && before.places[old] === place) old++;
    if (count > 0) into.push(place, count);
  }
  while (old < before.length) copyOne(before, old++, into);
}

function copyOne(from: Postings, index: number, into: Postings): void {
  into.push(from.places[index] ?? 0, from.counts[index] ?? 0);
}
