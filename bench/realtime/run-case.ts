/** One case: starts the server in its own process, applies the load from this one, answers with what came of it. */
import { once } from "node:events";
import type { Measured } from "../harness/load.ts";
import { firstMessage, ownQuestion, startOwnProcess } from "../harness/own-process.ts";
import { roundMs, summarize, type Summary } from "../harness/statistics.ts";
import { measureBroadcasting } from "./broadcasting.ts";
import type { RealtimeCase } from "./cases.ts";
import { measurePresenceStorm } from "./presence-storm.ts";
import type { Served } from "./serve.ts";
import { measureDatabaseBroadcast, measureRestBroadcast, measureRowChange } from "./through-rest.ts";

/** The samples are at most `maxSamples` of those the summary is of, evenly spread over them. */
export interface Answer extends Measured {
  readonly summary: Summary;
  readonly deliveries: number;
}

const maxSamples = 2_000;

const realtimeCase = ownQuestion<RealtimeCase>();
const file = new URL("serve.ts", import.meta.url);
const server = startOwnProcess(file, null);
process.once("SIGINT", () => process.exit(130)); // and with this process ends the server
const served = (await firstMessage(server, file)) as Served; // serve.ts sends nothing else
try {
  const measured = await measure(realtimeCase, served);
  await new Promise<void>((resolve) => process.send?.(measured ?? null, () => resolve()));
} finally {
  server.disconnect();
  if (server.exitCode === null) await once(server, "exit");
}
process.exit(0); // connections that are kept alive would hold us

/** Undefined where the server cannot do this. */
async function measure(asked: RealtimeCase, on: Served): Promise<Answer | undefined> {
  const measured: (Measured & { readonly deliveries?: number }) | undefined = await run(asked, on);
  if (measured === undefined) return undefined;
  const { samplesMs, totalMs, deliveries = samplesMs.length } = measured;
  return {
    samplesMs: thinned(samplesMs).map(roundMs),
    totalMs: roundMs(totalMs),
    deliveries,
    summary: summarize(samplesMs),
  };
}

async function run(asked: RealtimeCase, on: Served): Promise<Measured | undefined> {
  switch (asked.kind) {
    case "broadcast":
      return await measureBroadcasting(asked, on);
    case "presence storm":
      return await measurePresenceStorm(asked.clients, on);
    case "database broadcast":
      return await measureDatabaseBroadcast(asked, on);
    case "row change":
      return await measureRowChange(asked, on);
    case "REST broadcast":
      return await measureRestBroadcast(asked, on);
  }
}

function thinned(samples: readonly number[]): readonly number[] {
  const step = Math.max(1, Math.ceil(samples.length / maxSamples));
  return samples.filter((_, index) => index % step === 0);
}
