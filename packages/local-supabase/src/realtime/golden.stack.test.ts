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

/** The requirements that a session shows; see test-support/requirements.ts. */
const shows: Readonly<Record<string, string>> = {
  "access-token": "[46][48][49][51]",
  "broadcast-isolation": "[62]",
  "broadcast-nonmap": "[66][68]",
  "broadcast-oversized": "[64][92]",
  "broadcast-payload-shapes": "[55]",
  "broadcast-self-false-ack-false": "[56][57][58]",
  "broadcast-self-false-ack-true": "[59]",
  "broadcast-self-true-ack-false": "[58][60]",
  "broadcast-self-true-ack-true": "[59][60][61]",
  "connect-handshake": "[1][2][3][4][5][6][7][8][9]",
  "db-broadcast": "[118][119][120][122]",
  "handshake-headers": "[1]",
  heartbeat: "[13][14][20]",
  "join-errors": "[24][25][29][30][31][32][34][124]",
  "join-ok": "[22][23][26][27][28][32]",
  "leave-rejoin": "[40][42][43]",
  "malformed-frames": "[15][16][17]",
  pipelining: "[38][40]",
  "presence-basic": "[82][83][84][85][86][87][90][91]",
  "presence-batching": "[83][85]",
  "presence-disabled-listener": "[93]",
  "presence-odd": "[88][89][91]",
  "private-channels": "[65][94][125]",
  "rest-broadcast": "[71][72][73][74][75][76][78][79]",
  "token-expiry": "[52]",
  "unknown-events": "[44][89]",
};
const sessions = files.map((file) => ({ file, ids: shows[file.split(".", 1)[0] ?? ""] ?? "" }));

let database: Database;
beforeAll(async () => {
  database = await openRealtimeDatabase();
});
afterAll(() => database.close());

describe("sessions recorded with a real server", () => {
  test.each(sessions)("$file $ids", async ({ file }) => {
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
