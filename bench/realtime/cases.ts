/** What is measured, as data. Times are of the load alone, after a warm-up of a fifth of it. */
export type RealtimeCase =
  | Broadcasting
  | { readonly kind: "presence storm"; readonly clients: number }
  | { readonly kind: "database broadcast"; readonly messages: number; readonly maxMs: number }
  | { readonly kind: "row change"; readonly messages: number; readonly maxMs: number }
  | {
      readonly kind: "REST broadcast";
      readonly atOnce: number;
      readonly messages: number;
      readonly maxMs: number;
    };

/** One sender, `receivers` receivers. */
export interface Broadcasting {
  readonly kind: "broadcast";
  readonly receivers: number;
  readonly isPrivate: boolean;
  /** Messages a second, or as fast as `window` messages under way allow. */
  readonly pace: { readonly perSecond: number } | { readonly window: number };
  readonly maxMs: number;
  /** Rows that one request after the other inserts meanwhile. */
  readonly rowsBeside: number;
}

/** What a real Supabase Realtime did on 2 shared cores, with payloads of about 64 bytes on protocol 2.0.0. */
const references: Readonly<Record<string, string>> = {
  "1 to 1, flood": "14,800 deliveries/s",
  "1 to 100, flood": "40,600 deliveries/s",
  "1 to 1, 100/s": "p50 0.86 ms, p99 6.2 ms",
  "1 to 1, 1,000/s": "p50 0.26 ms, p99 2.1 ms",
  "1 to 1, 100/s, private": "p50 0.81 ms, p99 3.2 ms",
  "1 to 100, 100/s": "p50 2.8 ms, p99 7.3 ms",
  "database broadcast": "p50 2.2 ms, p99 8.0 ms",
  "row change": "p50 272 ms, p99 516 ms",
  "REST broadcast, 8 at once": "1,566 requests/s, p50 4.0 ms, p99 18.7 ms",
};

export function referenceOf(realtimeCase: RealtimeCase): string {
  return references[nameOf(realtimeCase)] ?? "";
}

export function nameOf(realtimeCase: RealtimeCase): string {
  if (realtimeCase.kind === "presence storm")
    return `presence, ${realtimeCase.clients.toLocaleString("en-US")} join at once`;
  if (realtimeCase.kind === "REST broadcast") return `REST broadcast, ${realtimeCase.atOnce} at once`;
  if (realtimeCase.kind !== "broadcast") return realtimeCase.kind;
  const { receivers, pace, isPrivate, rowsBeside } = realtimeCase;
  const speed = "window" in pace ? "flood" : `${pace.perSecond.toLocaleString("en-US")}/s`;
  const beside = rowsBeside === 0 ? "" : `, inserts of ${rowsBeside.toLocaleString("en-US")} rows beside`;
  return `1 to ${receivers.toLocaleString("en-US")}, ${speed}${isPrivate ? ", private" : ""}${beside}`;
}

/** A rehearsal takes a tenth of the time and is not worth quoting. */
export function realtimeCases(options: { readonly isRehearsal: boolean }): readonly RealtimeCase[] {
  const scale = options.isRehearsal ? 0.1 : 1;
  const broadcast = (
    receivers: number,
    pace: Broadcasting["pace"],
    rest: Partial<Pick<Broadcasting, "isPrivate" | "rowsBeside">> = {},
  ): Broadcasting => ({
    kind: "broadcast",
    receivers,
    pace,
    maxMs: 6_000 * scale,
    isPrivate: false,
    rowsBeside: 0,
    ...rest,
  });
  return [
    broadcast(1, { window: 512 }),
    broadcast(1, { window: 512 }, { isPrivate: true }),
    broadcast(1, { perSecond: 100 }),
    broadcast(1, { perSecond: 100 }, { isPrivate: true }),
    broadcast(1, { perSecond: 1_000 }),
    broadcast(1, { perSecond: 1_000 }, { isPrivate: true }),
    broadcast(100, { perSecond: 100 }),
    broadcast(100, { window: 64 }),
    broadcast(100, { window: 64 }, { isPrivate: true }),
    broadcast(1_000, { perSecond: 10 }),
    broadcast(1_000, { window: 16 }),
    broadcast(1_000, { window: 16 }, { isPrivate: true }),
    { kind: "presence storm", clients: options.isRehearsal ? 100 : 1_000 },
    { kind: "database broadcast", messages: 1_000, maxMs: 6_000 * scale },
    { kind: "row change", messages: 1_000, maxMs: 6_000 * scale },
    { kind: "REST broadcast", atOnce: 8, messages: 20_000, maxMs: 6_000 * scale },
    broadcast(1, { perSecond: 100 }, { rowsBeside: 10_000 }),
  ];
}
