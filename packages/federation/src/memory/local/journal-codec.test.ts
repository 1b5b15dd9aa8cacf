import { crc32 } from "node:zlib";
import fc from "fast-check";
import { expect, test } from "vitest";
import { aheadMark, encodeHeader, isCutOff, readJournal } from "./journal-codec.ts";
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
    // Made the first byte of a file that zeros are written ahead of.
    { examples: [[[{ sequence: 0, flushed: 0, body: new Uint8Array([1, 0]) }], 0, 0x41 ^ 0xff]] },
  );
});

/** Their ends are often zeros, as a row's without an embedding is. */
const endingInZeros = fc.array(
  record.map((each) => ({ ...each, body: new Uint8Array([...each.body, 0, 0]) })),
  { minLength: 1, maxLength: 4 },
);

test("of a file that zeros are written ahead of, a write cut off at any byte is the end, and the records before it are found", () => {
  fc.assert(
    fc.property(endingInZeros, (written) => {
      const whole = journalOf(written);
      const before = 1 + journalOf(written.slice(0, -1)).length;
      const bytes = aheadOf(written);
      for (let cut = before; cut < 1 + whole.length; cut++) {
        const torn = new Uint8Array(bytes.length);
        torn.set(bytes.subarray(0, cut));
        if (cut === before) torn.set(aheadMark, before); // it did not even begin
        const { records, soundBytes, beyond } = readJournal(torn, crc32);
        const isWhole = whole.subarray(cut - 1).every((byte) => byte === 0); // nothing is missing but zeros
        expect(records).toEqual(isWhole ? written : written.slice(0, -1));
        expect(beyond).toEqual([]);
        expect(soundBytes === bytes.length || isCutOff(torn, soundBytes, crc32)).toBe(true);
      }
    }),
    { numRuns: 30 },
  );
});

test("of a file that zeros are written ahead of, a changed byte in any record is no write that was cut off", () => {
  fc.assert(
    fc.property(endingInZeros, fc.integer({ min: 1, max: 255 }), (written, difference) => {
      const bytes = aheadOf(written);
      expect(readJournal(bytes, crc32)).toEqual({ records: written, soundBytes: bytes.length, beyond: [] });
      for (let at = 0; at < 1 + journalOf(written).length; at++) {
        const hurt = bytes.slice();
        hurt[at] = (hurt[at] ?? 0) ^ difference;
        const { records, soundBytes, beyond } = readJournal(hurt, crc32);
        const last = beyond.at(-1)?.body;
        const end = last === undefined ? soundBytes : last.byteOffset + last.length;
        expect(records.length + beyond.length).toBe(at === 0 ? written.length : written.length - 1);
        expect(beyond.length > 0 || !isCutOff(hurt, end, crc32)).toBe(true);
      }
    }),
    { numRuns: 30 },
  );
});

function aheadOf(written: readonly JournalRecord[]): Uint8Array {
  return new Uint8Array(Buffer.concat([aheadMark, journalOf(written), aheadMark, new Uint8Array(300)]));
}

function journalOf(written: readonly JournalRecord[]): Uint8Array {
  const chunks = written.flatMap(({ sequence, flushed, body }) => [
    encodeHeader({ sequence, flushed, sizeBytes: body.length, bodySum: crc32(body) }, crc32),
    body,
  ]);
  return new Uint8Array(Buffer.concat(chunks));
}
