import type { Served } from "./serve.ts";
import { WireClient } from "./wire-client.ts";

export interface Joining {
  readonly topic: string;
  readonly isPrivate?: boolean;
  readonly config?: Readonly<Record<string, unknown>>;
}

/** A socket that has joined `topic`, with join_ref "1". Rejects where the join is refused. */
export async function joined(served: Served, joining: Joining): Promise<WireClient> {
  const client = await WireClient.connect(served.url, served.anonKey);
  await join(client, served, joining);
  return client;
}

export async function join(client: WireClient, served: Served, joining: Joining): Promise<void> {
  const reply = nextText(client, (text) => text.includes(`"phx_reply"`));
  client.sendText(joinMessage(served, joining));
  const text = await reply;
  if (!text.includes(`"status":"ok"`)) throw new Error(`join ${joining.topic}: ${text}`);
}

export function joinMessage(
  { accessToken }: Served,
  { topic, isPrivate = false, config = {} }: Joining,
): unknown[] {
  return [
    "1",
    "1",
    topic,
    "phx_join",
    { config: { private: isPrivate, ...config }, access_token: accessToken },
  ];
}

/** The next text message that `accept` says yes to. Takes over `onText` until then; rejects when the socket ends. */
export function nextText(client: WireClient, accept: (text: string) => boolean): Promise<string> {
  return new Promise((resolve, reject) => {
    client.onClose = (reason) => reject(new Error(reason));
    client.onText = (read, start, end) => {
      const text = read.toString("utf8", start, end);
      if (!accept(text)) return;
      client.onText = () => {};
      resolve(text);
    };
  });
}

/** Opens many sockets, some at a time. */
export async function openAll<T>(count: number, open: (index: number) => Promise<T>): Promise<T[]> {
  const opened: T[] = [];
  for (let from = 0; from < count; from += 50) {
    const some = Array.from({ length: Math.min(50, count - from) }, (_, index) => open(from + index));
    opened.push(...(await Promise.all(some)));
  }
  return opened;
}
