import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { encodeHeader, readJournal } from "./journal-codec.ts";
import type { JournalRecord } from "./journal-codec.ts";

const record: fc.Arbitrary<JournalRecord> = fc.record({
  sequence: fc.nat({ max: 2 ** 31 }).map((n) => n * 4_000_000),
  flushed: fc.nat(),
  body: fc.uint8Array({ maxLength: 60 }),
});
const records = fc.array(record, { minLength: 1, maxLength: 8 });

test("reading a journal gives what was written", () => {
  fc.assert(
    fc.property(records, (written) => {
      const bytes = journalOf(written);
      expect(readJournal(bytes, crc32)).toEqual({ records: written, soundBytes: bytes.length, beyond: [] });
    }),
  );
});

test("a journal cut off anywhere gives the records before the cut, and nothing behind it", () => {
  fc.assert(
    fc.property(records, fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }), (written, share) => {
      const bytes = journalOf(written);
      const cut = Math.floor(bytes.length * share);
      const whole = written.filter((_, at) => journalOf(written.slice(0, at + 1)).length <= cut);
      const found = readJournal(bytes.subarray(0, cut), crc32);
      expect(found).toEqual({ records: whole, soundBytes: journalOf(whole).length, beyond: [] });
    }),
  );
});

test("one changed byte loses the record it is in, and all others are found", () => {
  fc.assert(
    fc.property(records, fc.nat(), fc.integer({ min: 1, max: 255 }), (written, place, difference) => {
      const bytes = journalOf(written);
      const at = place % bytes.length;
      bytes[at] = (bytes[at] ?? 0) ^ difference;
      const hurt = written.findIndex((_, nth) => at < journalOf(written.slice(0, nth + 1)).length);
      const found = readJournal(bytes, crc32);
      expect(found.records).toEqual(written.slice(0, hurt));
      expect(found.beyond).toEqual(written.slice(hurt + 1));
      expect(found.soundBytes).toBe(journalOf(written.slice(0, hurt)).length);
    }),
  );
});

function journalOf(written: readonly JournalRecord[]): Uint8Array {
  const chunks = written.flatMap(({ sequence, flushed, body }) => [
    encodeHeader({ sequence, flushed, sizeBytes: body.length, bodySum: crc32(body) }, crc32),
    body,
  ]);
  return new Uint8Array(Buffer.concat(chunks));
}
