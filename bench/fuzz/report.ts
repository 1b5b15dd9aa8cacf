import type { FuzzAnswer } from "./run.ts";

/** What may be left after the attack: what the engine compiled meanwhile, and not what a million frames could leave. */
const HEAP_GROWTH_BYTES = 6_000_000;
/** A mistake of the server that ends one channel. It must not happen, whatever the frame. */
const mistakes = /crashed|upgrade failed|a request failed/;

/** Why the server did not pass; empty where it did. */
export function complaints({ before, after }: FuzzAnswer): readonly string[] {
  const grown = after.heapBytes - before.heapBytes;
  return [
    ...(grown > HEAP_GROWTH_BYTES ? [`the heap grew by ${megabytes(grown)} MB`] : []),
    ...Object.entries(after.errors)
      .filter(([message]) => mistakes.test(message))
      .map(([message, times]) => `its log says ${times} times "${message}"`),
  ];
}

/** Markdown, for people. */
export function table(answer: FuzzAnswer): string {
  const {
    frames,
    seed,
    totalMs,
    kinds,
    reconnects,
    exchangesBefore,
    exchangesDuring,
    meetings,
    before,
    after,
  } = answer;
  const ms = (value: number): string => value.toFixed(1);
  const rows: [string, string | number, string | number][] = [
    ["sockets", before.sockets, after.sockets],
    ["channels", before.channels, after.channels],
    ["heap after collecting, MB", megabytes(before.heapBytes), megabytes(after.heapBytes)],
    ["buffers outside the heap, MB", megabytes(before.externalBytes), megabytes(after.externalBytes)],
    ["resident, MB", megabytes(before.rssBytes), megabytes(after.rssBytes)],
  ];
  const errors = Object.entries(after.errors).map(([message, times]) => `${times} × ${message}`);
  return [
    `${number(frames)} frames of ${Object.keys(kinds).length} kinds in ${Math.round(totalMs / 1_000)} s from 32 sockets, which were ` +
      `replaced ${number(reconnects)} times; \`npm run fuzz:realtime -- --frames ${frames} --seed ${seed}\`.`,
    "",
    "| after the attackers have left | after a warm-up | at the end |",
    "| --- | --: | --: |",
    ...rows.map(([name, first, last]) => `| ${name} | ${first} | ${last} |`),
    "",
    `The server read ${number(after.framesIn)} messages, accepted ${number(after.joinsAccepted)} joins, refused ${number(after.joinsRefused)}, sent ` +
      `${number(after.framesOut)} messages, and cut ${number(after.slowReaders)} sockets off that did not read.`,
    "",
    "| two official clients meanwhile | exchanges | p50 ms | p99 ms | longest ms |",
    "| --- | --: | --: | --: | --: |",
    ...(
      [
        ["before", exchangesBefore],
        ["during the attack", exchangesDuring],
      ] as const
    ).map(
      ([name, { count, p50Ms, p99Ms, maxMs }]) =>
        `| ${name} | ${count} | ${ms(p50Ms)} | ${ms(p99Ms)} | ${ms(maxMs)} |`,
    ),
    "",
    `Each exchange is a broadcast there and one back, acknowledged, in order and with nothing missing; ${number(meetings)} times one of them came to a`,
    `private channel, was seen in its presence, wrote a row that the other heard of, and left. Errors in the server's log: ${errors.length === 0 ? "none" : errors.join(", ")}.`,
    "",
    "| frames | number |",
    "| --- | --: |",
    ...Object.entries(kinds)
      .toSorted(([, a], [, b]) => b - a)
      .map(([kind, count]) => `| ${kind} | ${number(count)} |`),
  ].join("\n");
}

function number(value: number): string {
  return value.toLocaleString("en-US");
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1);
}
