import { clientFrame } from "./wire-client.ts";

const EVENT = "m";
const DIGITS = 10;
/** A payload of 64 bytes that begins with its number, in as many digits as there are. */
const PAYLOAD = `{"n":"${"0".repeat(DIGITS)}","text":"${"x".repeat(37)}"}`;
const NUMBER_AT = PAYLOAD.indexOf("0");

/** Pushed broadcasts (kind 3, JSON) that differ in their number alone. */
export function numberedPush(topic: string): (n: number) => Buffer {
  const head = Buffer.from([3, 1, 1, Buffer.byteLength(topic), EVENT.length, 0, 1]);
  const frame = clientFrame(0x82, Buffer.concat([head, Buffer.from(`17${topic}${EVENT}${PAYLOAD}`)]));
  const at = frame.length - PAYLOAD.length + NUMBER_AT;
  return (n) => {
    const copy = Buffer.from(frame);
    copy.write(String(n).padStart(DIGITS, "0"), at, "latin1");
    return copy;
  };
}

/** The number of a broadcast (kind 4) whose body lies there. */
export function numberOf(read: Buffer, end: number): number {
  const from = end - PAYLOAD.length + NUMBER_AT;
  let n = 0;
  for (let at = from; at < from + DIGITS; at++) n = n * 10 + (read[at] ?? 0) - 48;
  return n;
}
