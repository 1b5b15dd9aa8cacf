import { expect, test } from "vitest";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

const traceId = "4bf92f3577b34da6a3ce929d0e0e4736";
const spanId = "00f067aa0ba902b7";

test("a trace context is read and written", () => {
  const text = `00-${traceId}-${spanId}-01`;
  expect(parseTraceparent(text)).toEqual({ traceId, spanId, flags: 1 });
  expect(formatTraceparent({ traceId, spanId, flags: 1 })).toBe(text);
  expect(formatTraceparent({ traceId, spanId, flags: 0 })).toBe(`00-${traceId}-${spanId}-00`);
});

test("a later version may say more, this one may not", () => {
  expect(parseTraceparent(`01-${traceId}-${spanId}-01-more`)).toEqual({ traceId, spanId, flags: 1 });
  expect(parseTraceparent(`00-${traceId}-${spanId}-01-more`)).toBeUndefined();
});

test.each([
  "",
  "00-1",
  `ff-${traceId}-${spanId}-01`,
  `00-${traceId.toUpperCase()}-${spanId}-01`,
  `00-${"0".repeat(32)}-${spanId}-01`,
  `00-${traceId}-${"0".repeat(16)}-01`,
  `00-${traceId}-${spanId}-1`,
  `00-${traceId}-${spanId}`,
  ` 00-${traceId}-${spanId}-01`,
])("%j is no trace context", (text) => {
  expect(parseTraceparent(text)).toBeUndefined();
});
