import { applyLoad, type Measured } from "../harness/load.ts";
import { joined, joinMessage, nextText } from "./channel-client.ts";
import { requester } from "./http.ts";
import type { Served } from "./serve.ts";
import { WireClient } from "./wire-client.ts";

interface Limits {
  readonly messages: number;
  readonly maxMs: number;
}

/** From the request that calls `realtime.send` in the database to the client that hears it, one after the other. */
export async function measureDatabaseBroadcast(limits: Limits, served: Served): Promise<Measured> {
  const client = await joined(served, { topic: "realtime:bench" });
  const request = requester(served);
  const body = JSON.stringify({ topic: "bench", message: { text: "x".repeat(50) } });
  try {
    return await oneByOne(limits, async () => {
      const heard = nextBinary(client);
      await Promise.all([heard, request("/rest/v1/rpc/announce", body)]);
      return await heard;
    });
  } finally {
    client.destroy();
  }
}

/** From the request that inserts a row to the client that hears of it. Undefined where the server has no row changes. */
export async function measureRowChange(limits: Limits, served: Served): Promise<Measured | undefined> {
  const client = await WireClient.connect(served.url, served.anonKey);
  try {
    // Asked for before the join, since the reply and the status may come in one read.
    const told = nextText(client, (text) => text.includes(`"system"`) || text.includes(`"status":"error"`));
    const changes = [{ event: "*", schema: "public", table: "changes" }];
    client.sendText(joinMessage(served, { topic: "realtime:bench", config: { postgres_changes: changes } }));
    const status = await told;
    if (!status.includes(`"status":"ok"`)) return undefined;
    const request = requester(served);
    const body = JSON.stringify({ body: "x".repeat(50) });
    return await oneByOne(limits, async () => {
      const heard = nextText(client, (text) => text.includes(`"postgres_changes"`)).then(() =>
        performance.now(),
      );
      await Promise.all([heard, request("/rest/v1/changes", body)]);
      return await heard;
    });
  } finally {
    client.destroy();
  }
}

/** How long `POST /api/broadcast` takes; one receiver listens. */
export async function measureRestBroadcast(
  { atOnce, messages, maxMs }: Limits & { readonly atOnce: number },
  served: Served,
): Promise<Measured> {
  const client = await joined(served, { topic: "realtime:bench" });
  const request = requester(served);
  const message = { topic: "bench", event: "m", payload: { text: "x".repeat(50) } };
  const body = JSON.stringify({ messages: [message] });
  let heard = 0;
  client.onText = () => heard++;
  client.onBinary = () => heard++;
  try {
    const load = { concurrency: atOnce, warmUp: 200, maxRequests: messages, maxMs };
    const measured = await applyLoad(load, () => request("/realtime/v1/api/broadcast", body));
    if (heard === 0) throw new Error("REST broadcast: nothing was heard");
    return measured;
  } finally {
    client.destroy();
  }
}

/** `run` answers when it was heard, which may be before the request was answered. */
async function oneByOne({ messages, maxMs }: Limits, run: () => Promise<number>): Promise<Measured> {
  for (let i = 0; i < 50; i++) await run();
  const samplesMs: number[] = [];
  const start = performance.now();
  while (samplesMs.length < messages && performance.now() - start < maxMs) {
    const begun = performance.now();
    samplesMs.push((await run()) - begun);
  }
  return { samplesMs, totalMs: performance.now() - start };
}

function nextBinary(client: WireClient): Promise<number> {
  return new Promise((resolve, reject) => {
    client.onClose = (reason) => reject(new Error(reason));
    client.onBinary = () => resolve(performance.now());
  });
}
