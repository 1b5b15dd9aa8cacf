import { IncomingMessage } from "node:http";
import { Socket } from "node:net";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readBody } from "./read-body.ts";

/** A request whose body comes in these pieces. */
function request(pieces: readonly Buffer[], headers: Record<string, string> = {}): IncomingMessage {
  const message = new IncomingMessage(new Socket());
  Object.assign(message.headers, headers);
  for (const piece of pieces) message.push(piece);
  message.push(null);
  return message;
}

function textOf(body: string | SharedArrayBuffer | undefined): string | undefined {
  return body instanceof SharedArrayBuffer ? Buffer.from(body).toString("utf8") : body;
}

test("a body is the same in whatever pieces it comes, as text and, where it is large, as shared bytes", async () => {
  const repeats = fc.constantFrom(0, 1, 3, 30_000);
  await fc.assert(
    fc.asyncProperty(repeats, fc.array(fc.nat(100_000), { maxLength: 4 }), async (count, cuts) => {
      const whole = Buffer.from("aé😀".repeat(count));
      const ends = [...cuts.map((cut) => cut % (whole.length + 1)), whole.length].toSorted((a, b) => a - b);
      const pieces = ends
        .map((end, i) => whole.subarray(ends[i - 1] ?? 0, end))
        .filter(({ length }) => length > 0);
      const body = await readBody(request(pieces), 1_000_000);
      expect(textOf(body)).toBe(whole.toString("utf8"));
      expect(typeof body === "string").toBe(whole.length < 65_536);
    }),
    { numRuns: 30 },
  );
});

test("a body that is too large is refused, announced or not", async () => {
  expect(await readBody(request([Buffer.alloc(11)]), 10)).toBeUndefined();
  expect(await readBody(request([Buffer.alloc(10)]), 10)).toBe("\0".repeat(10));
  expect(await readBody(request([], { "content-length": "11" }), 10)).toBeUndefined();
});
