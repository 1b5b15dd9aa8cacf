import { readdirSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Database } from "../database/database.ts";
import { readDeviations } from "./testing/deviations.ts";
import type { RealtimeSettings } from "./settings.ts";
import { recordedKeys } from "./testing/row-tables.ts";
import { replay } from "./testing/replay.ts";
import { TestClock } from "./testing/test-clock.ts";
import { openRealtimeDatabase, startTestServer } from "./testing/test-server.ts";
import { readTranscript } from "./testing/transcript.ts";

const folder = new URL("golden/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".jsonl"));
const deviations = readDeviations(new URL("DEVIATIONS.md", import.meta.url));
/** All that were recorded; one that is lost is noticed. */
const RECORDED_FILES = 102;
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
  "broadcast-replay": "[123]",
  "db-broadcast": "[118][119][120][122]",
  "handshake-headers": "[1]",
  heartbeat: "[13][14][20]",
  "join-errors": "[24][25][29][30][31][32][34][124]",
  "join-ok": "[22][23][26][27][28][32]",
  "leave-rejoin": "[40][42][43]",
  "limit-channels": "[36]",
  "limit-joins": "[37]",
  "limit-messages": "[69][77]",
  "limit-users": "[10]",
  "malformed-frames": "[15][16][17]",
  "pgchanges-basic": "[97][98][99][100][101][114][116]",
  "pgchanges-errors": "[106][107][108][115]",
  "pgchanges-filters": "[102][103][104][105]",
  "pgchanges-rls": "[109][110][111]",
  "pgchanges-types": "[112][113]",
  pipelining: "[38][40]",
  "presence-basic": "[82][83][84][85][86][87][90][91]",
  "presence-batching": "[83][85]",
  "presence-disabled-listener": "[93]",
  "presence-odd": "[88][89][91]",
  "private-channels": "[65][94][125]",
  "rest-broadcast": "[71][72][73][74][75][76][77][78][79]",
  "tenant-private-only": "[35]",
  "token-expiry": "[52]",
  "unknown-events": "[44][89]",
};
/** What the project was set to when a session was recorded. */
const settingsOf: Readonly<Record<string, Partial<RealtimeSettings>>> = {
  "broadcast-oversized": { maxPayloadKilobytes: 1 },
  "limit-channels": { limits: { channelsPerConnection: 2 } },
  "limit-joins": { limits: { joinsPerSecond: 1 } },
  "limit-messages": { limits: { messagesPerSecond: 5 } },
  "limit-presence": { limits: { presenceEventsPerSecond: 1 } },
  "limit-users": { limits: { connections: 1 } },
  "rest-broadcast": { limits: { messagesPerSecond: 100 } },
  "tenant-presence-enabled": { hasPresenceAlways: true },
  "tenant-private-only": { isPrivateOnly: true },
};

/** Sessions that are not replayed, and why; every other file is. */
const notReplayed: Readonly<Record<string, string>> = {
  "idle-no-channel":
    "a socket that left its channels is not killed: the recorded server does it by the tick of a sweep, and clients rely on nothing of it",
  "limit-pgchanges":
    "which rows are left out depends on when the recorded server began to count; that they are, and nobody is told, limits.stack.test.ts has",
  longpoll: "the long-polling transport is not spoken: no client of Supabase uses it",
  "server-shutdown":
    "channels are told and sockets closed with 1012, where the recorded server crashes them; a test of supabase-js has it",
  "tenant-suspend-shutdown": "there is one project, which is neither reloaded nor suspended while it runs",
};

const sessions = files
  .map((file) => ({ file, scenario: file.split(".", 1)[0] ?? "" }))
  .filter(({ scenario }) => notReplayed[scenario] === undefined)
  .map(({ file, scenario }) => ({ file, scenario, ids: shows[scenario] ?? "" }));

let database: Database;
beforeAll(async () => {
  database = await openRealtimeDatabase();
});
afterAll(() => database.close());

describe("sessions recorded with a real server", () => {
  test.each(sessions)("$file $ids", async ({ file, scenario }) => {
    const transcript = readTranscript(new URL(file, folder));
    const isOversized = scenario === "broadcast-oversized";
    await database.exec(recordedKeys(transcript));
    // The row that was inserted there had this id.
    const nextPost = file.endsWith(".v1.jsonl") ? 9 : 8;
    if (scenario === "sdk-private")
      await database.exec(`alter sequence public.posts_id_seq restart with ${nextPost}`);
    const clock = new TestClock(transcript.recordedAtMs);
    const server = await startTestServer({
      database,
      clock,
      settings: settingsOf[scenario] ?? {},
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

  test("every session is replayed, or it is written down why not", () => {
    const scenarios = new Set(files.map((file) => file.split(".", 1)[0] ?? ""));
    expect(files.length).toBe(RECORDED_FILES);
    expect(Object.keys(notReplayed).filter((scenario) => !scenarios.has(scenario))).toEqual([]);
  });

  test("every deviation that is listed is seen", () => {
    expect(deviations.map(({ id }) => id).filter((id) => !used.has(id))).toEqual([]);
  });
});
