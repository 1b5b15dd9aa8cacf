import fc from "fast-check";
import { expect, test } from "vitest";
import { LatencyHistogram, Metrics, renderMetrics } from "./metrics.ts";

/** The samples of Prometheus' text format, by name and labels. */
function parse(text: string): Map<string, number> {
  const samples = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    samples.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
  );
}

test("every number comes out under its name, described and typed, and the text ends with a line end", () => {
  const metrics = new Metrics();
  const counted = [
    ["sockets", "realtime_sockets"],
    ["channels", "realtime_channels"],
    ["framesIn", 'realtime_frames_total{direction="in"}'],
    ["framesOut", 'realtime_frames_total{direction="out"}'],
    ["messagesDelivered", "realtime_deliveries_total"],
    ["presenceEvents", "realtime_presence_events_total"],
    ["broadcastsFromSockets", 'realtime_broadcasts_total{source="socket"}'],
    ["broadcastsFromRest", 'realtime_broadcasts_total{source="rest"}'],
    ["broadcastsFromDatabase", 'realtime_broadcasts_total{source="database"}'],
    ["joinsAccepted", 'realtime_joins_total{answer="ok"}'],
    ["joinsRefused", 'realtime_joins_total{answer="error"}'],
    ["droppedSlowReaders", 'realtime_drops_total{kind="slow_reader"}'],
    ["messagesDelivered", "realtime_deliveries_total"],
    ["presenceEvents", "realtime_presence_events_total"],
    ["rowChanges", "realtime_row_changes_total"],
    ["droppedDatabaseBroadcasts", 'realtime_drops_total{kind="database_broadcast"}'],
  ] as const;
  const numbers = Object.entries(metrics).flatMap(([field, value]) =>
    typeof value === "number" ? [field] : [],
  );
  for (const [i, field] of numbers.entries()) Object.assign(metrics, { [field]: i + 1 });
  const text = renderMetrics(metrics);
  const samples = parse(text);
  expect(numbers.filter((_, i) => ![...samples.values()].includes(i + 1))).toEqual([]);
  expect(counted.map(([, name]) => samples.get(name))).toEqual(counted.map(([field]) => metrics[field]));
  expect(text.endsWith("\n")).toBe(true);
  const familyOf = (key: string): string => key.replace(/\{.*/, "").replace(/_(bucket|sum|count)$/, "");
  for (const name of new Set(Array.from(samples.keys(), familyOf))) {
    expect(text).toMatch(new RegExp(`^# HELP ${name} .+\n# TYPE ${name} (gauge|counter|histogram)$`, "m"));
  }
});

test("a bucket holds what took at most that long, the last one everything", () => {
  const durations = fc.array(fc.double({ min: 0, max: 10_000, noNaN: true }));
  fc.assert(
    fc.property(durations, (all) => {
      const metrics = new Metrics();
      for (const ms of all) metrics.joinLatency.observe(ms);
      const samples = parse(renderMetrics(metrics));
      for (const [key, count] of samples) {
        const bound = /^realtime_join_seconds_bucket\{le="(.+)"\}$/.exec(key)?.[1];
        if (bound === undefined) continue;
        const limitMs = bound === "+Inf" ? Infinity : Number(bound) * 1000;
        expect(count).toBe(all.filter((ms) => ms <= limitMs).length);
      }
      expect(samples.get('realtime_join_seconds_bucket{le="+Inf"}')).toBe(all.length);
      expect(samples.get("realtime_join_seconds_count")).toBe(all.length);
      expect(samples.get("realtime_join_seconds_sum")).toBeCloseTo(
        all.reduce((sum, ms) => sum + ms, 0) / 1000,
      );
    }),
  );
});

test("nothing observed is nothing counted", () => {
  expect(new LatencyHistogram().counts.every((count) => count === 0)).toBe(true);
});
