import { joinMessage, openAll } from "./channel-client.ts";
import type { Fanned } from "./broadcasting.ts";
import type { Served } from "./serve.ts";
import { WireClient } from "./wire-client.ts";

const REF = '"phx_ref":';

/**
 * All clients join and track at once. A sample is how long after the start one of them knows everybody: those in the
 * `presence_state` it got, and those in each `presence_diff` after it. Nobody may be told to it twice.
 */
export async function measurePresenceStorm(clients: number, served: Served): Promise<Fanned> {
  const sockets = await openAll(clients, () => WireClient.connect(served.url, served.anonKey));
  const topic = "realtime:storm";
  const track = ["1", "2", topic, "presence", { type: "presence", event: "track", payload: { busy: false } }];
  const samplesMs: number[] = [];
  let deliveries = 0;
  try {
    const start = performance.now();
    await Promise.all(
      sockets.map(async (socket, index) => {
        const knowsAll = new Promise<void>((resolve, reject) => {
          socket.onClose = (reason) => reject(new Error(reason));
          let known = 0;
          socket.onText = (read, from, end) => {
            // The event follows the topic; refs before it are `null,null` or `"1",null`.
            const event = read.toString("latin1", from, Math.min(end, from + 60));
            if (event.includes(`"presence_diff"`) || event.includes(`"presence_state"`))
              known += presencesIn(read.subarray(from, end));
            else if (!event.includes(`"phx_reply"`)) reject(new Error(read.toString("utf8", from, end)));
            else return;
            deliveries++;
            if (known === clients) resolve();
            else if (known > clients) reject(new Error(`client ${index} was told of ${known} of ${clients}`));
          };
        });
        const config = { presence: { enabled: true, key: `client-${index}` } };
        socket.sendText(joinMessage(served, { topic, config }));
        socket.sendText(track);
        await knowsAll;
        samplesMs.push(performance.now() - start);
      }),
    );
    return { samplesMs, deliveries, totalMs: performance.now() - start };
  } finally {
    for (const socket of sockets) socket.destroy();
  }
}

/** Each presence has one ref of its own. Nobody leaves here, so all of them came. */
function presencesIn(text: Buffer): number {
  let count = 0;
  for (let at = text.indexOf(REF); at !== -1; at = text.indexOf(REF, at + REF.length)) count++;
  return count;
}
