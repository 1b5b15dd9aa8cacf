import fc from "fast-check";
import { expect, test } from "vitest";
import { ByteReader } from "./byte-reader.ts";
import { ByteWriter } from "./byte-writer.ts";

const anyPart = fc.oneof(
  fc.record({ kind: fc.constant("uint8" as const), value: fc.nat(255) }),
  fc.record({ kind: fc.constant("uint32" as const), value: fc.nat(2 ** 32 - 1) }),
  fc.record({ kind: fc.constant("float64" as const), value: fc.double({ noNaN: true }) }),
  fc.record({ kind: fc.constant("text" as const), value: fc.string({ unit: "grapheme", maxLength: 12 }) }),
  fc.record({ kind: fc.constant("bytes" as const), value: fc.uint8Array({ maxLength: 40 }) }),
);

test("what is written is read, wherever the room that was there ends", () => {
  fc.assert(
    fc.property(fc.array(anyPart, { maxLength: 20 }), fc.nat(64), (parts, capacity) => {
      const writer = new ByteWriter(capacity);
      for (const part of parts) {
        if (part.kind === "text") writer.text(part.value);
        else if (part.kind === "bytes") writer.bytes(part.value);
        else writer[part.kind](part.value);
      }
      const reader = new ByteReader(writer.finish());
      for (const part of parts)
        expect(part.kind === "bytes" ? Uint8Array.from(reader.bytes()) : reader[part.kind]()).toEqual(
          part.value,
        );
      expect(reader.isAtEnd).toBe(true);
    }),
  );
});
