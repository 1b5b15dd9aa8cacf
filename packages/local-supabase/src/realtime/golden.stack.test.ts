import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../database/database.ts";
import { readDeviations } from "./testing/deviations.ts";
import { replay } from "./testing/replay.ts";
import { TestClock } from "./testing/test-clock.ts";
import { openRealtimeDatabase, startTestServer } from "./testing/test-server.ts";
import { readTranscript } from "./testing/transcript.ts";

const folder = new URL("golden/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
const deviations = readDeviations(new URL("DEVIATIONS.md", import.meta.url));
const used = new Set<string>();

let database: Database;
beforeAll(async () => {
  database = await openRealtimeDatabase();
});
afterAll(() => database.close());

describe("sessions recorded with a real server", () => {
  test.each(files)("%s", async (file) => {
    const transcript = readTranscript(new URL(file, folder));
    const isOversized = transcript.scenario.startsWith("broadcast-oversized");
    const clock = new TestClock(transcript.recordedAtMs);
    const server = await startTestServer({
      database,
      clock,
      ...(isOversized ? { settings: { maxPayloadKilobytes: 1 } } : {}),
    });
    try {
      const differences = await replay({
        transcript,
        server,
        clock,
        deviations,
        useDeviation: (id) => used.add(id),
        ...(isOversized ? { until: "tenant: max_payload_size_in_kb back to 3000" } : {}),
      });
      expect(differences).toEqual([]);
    } finally {
      await server.close();
    }
  });

  test("every deviation that is listed is seen", () => {
    expect(deviations.map(({ id }) => id).filter((id) => !used.has(id))).toEqual([]);
  });
});
