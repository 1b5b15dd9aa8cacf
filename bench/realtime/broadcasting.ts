import type { Measured } from "../harness/load.ts";
import type { Broadcasting } from "./cases.ts";
import { joined, openAll } from "./channel-client.ts";
import { keepInserting } from "./insert-beside.ts";
import { numberedPush, numberOf } from "./numbered.ts";
import type { Served } from "./serve.ts";

export interface Fanned extends Measured {
  readonly deliveries: number;
}

/** Messages whose times are remembered; more are never under way. */
const RING = 1 << 16;

/** One sender, many receivers, every delivery timed and checked: each receiver gets each message once and in order. */
export async function measureBroadcasting(broadcasting: Broadcasting, served: Served): Promise<Fanned> {
  const { receivers, isPrivate, pace, maxMs, rowsBeside } = broadcasting;
  const topic = `realtime:${isPrivate ? "private:" : ""}bench`;
  const sender = await joined(served, { topic, isPrivate });
  const clients = await openAll(receivers, () => joined(served, { topic, isPrivate }));
  const push = numberedPush(topic);
  const sentAt = new Float64Array(RING);
  const missing = new Int32Array(RING);
  const samples: number[] = [];
  let sent = 0;
  let complete = 0;
  let measuresFrom = Number.POSITIVE_INFINITY;
  let endsAt = Number.POSITIVE_INFINITY;

  const send = (count: number, now: number): void => {
    const frames: Buffer[] = [];
    for (let i = 0; i < count; i++, sent++) {
      sentAt[sent % RING] = now;
      missing[sent % RING] = receivers;
      frames.push(push(sent));
    }
    if (frames.length > 0) sender.write(Buffer.concat(frames));
  };

  const stopInserting = rowsBeside === 0 ? undefined : await keepInserting(served, rowsBeside);
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (reason: string): void => reject(new Error(reason));
      sender.onClose = fail;
      const advance = (): void => {
        const now = performance.now();
        if (now >= endsAt) {
          if (complete === sent) resolve();
        } else if ("window" in pace) {
          send(pace.window - (sent - complete), now);
        } else {
          send(Math.floor(((now - startedAt) * pace.perSecond) / 1_000) - sent, now);
          setTimeout(advance, 1);
        }
      };
      for (const client of clients) {
        let next = 0;
        client.onClose = fail;
        client.onBinary = (read, _start, end) => {
          const now = performance.now();
          const n = numberOf(read, end);
          if (n !== next++) fail(`a receiver expected message ${next - 1} and got ${n}`);
          const at = sentAt[n % RING] ?? 0;
          if (at >= measuresFrom && at < endsAt) samples.push(now - at);
          const left = (missing[n % RING] ?? 0) - 1;
          missing[n % RING] = left;
          if (left > 0) return;
          complete++;
          if ("window" in pace) pump();
          else if (now >= endsAt && complete === sent) resolve();
        };
      }
      // What one read completes is followed by one write.
      let isPumping = false;
      const pump = (): void => {
        if (isPumping) return;
        isPumping = true;
        queueMicrotask(() => {
          isPumping = false;
          advance();
        });
      };
      const startedAt = performance.now();
      measuresFrom = startedAt + maxMs / 5;
      endsAt = measuresFrom + maxMs;
      advance();
    });
  } finally {
    await stopInserting?.();
    for (const client of [sender, ...clients]) client.destroy();
  }
  return { samplesMs: samples, deliveries: samples.length, totalMs: maxMs };
}
