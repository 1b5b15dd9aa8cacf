/** Microseconds since 1970 of an ISO 8601 time, exactly: Postgres keeps and prints six digits, Date only three. NaN for no time. */
export function microsOf(time: string): number {
  if (time !== lastTime) [lastTime, lastMicros] = [time, parse(time)];
  return lastMicros;
}

/** Rows that are written together have one time, which is asked for several times for each. */
let lastTime = "";
let lastMicros = Number.NaN;

function parse(time: string): number {
  const micros = Date.parse(time) * 1000;
  if (time.length <= 24) return micros; // as toISOString prints it
  const digits = /\.\d{3}(\d{1,3})/.exec(time)?.[1];
  return digits === undefined ? micros : micros + Number(digits.padEnd(3, "0"));
}
