import { RawSocket } from "./raw-socket.ts";
import type { TestServer } from "./test-server.ts";
import type { CanonicalFrame } from "./transcript.ts";

/** Opens a socket on 2.0.0 with `token`, or the anonymous key. */
export async function openRaw(
  server: TestServer,
  token = server.keyring.anonKey,
  version = "2.0.0",
): Promise<RawSocket> {
  const socket = new RawSocket(`${server.url}/realtime/v1/websocket?apikey=${token}&vsn=${version}`);
  const refusal = await socket.opened;
  if (refusal !== undefined) throw new Error(`expected a socket, got ${JSON.stringify(refusal)}`);
  return socket;
}

/** Pushes in the text form of 2.0.0. */
export function push(socket: RawSocket, topic: string, event: string, payload: unknown, ref = "9"): void {
  socket.send(JSON.stringify(["1", ref, topic, event, payload]));
}

export function isReply(ref: string): (frame: CanonicalFrame) => boolean {
  return (frame) => frame["event"] === "phx_reply" && frame["ref"] === ref;
}

/** Joins with join_ref "1" and answers the reply's payload. */
export async function join(socket: RawSocket, topic: string, config: object = {}): Promise<unknown> {
  socket.send(JSON.stringify(["1", "1", topic, "phx_join", { config }]));
  return (await socket.take((frame) => isReply("1")(frame) && frame["topic"] === topic))?.["payload"];
}
