import type { SupabaseClient } from "@supabase/supabase-js";
import { sleep, type Clock } from "../runtime/clock.ts";
import { terminate, type OwnedSocket } from "./transport.ts";

const closed = 3;
const politeMs = 20;
const politeTries = 10;

/**
 * Closes the client's socket and stops its channels. `realtime.disconnect()` would leave a timer of 10 s behind, and removing the last
 * channel one of 50 s; both keep a Node process alive. So the socket below is closed directly: it is an internal field, looked for
 * before use, and where it is missing the public way is taken.
 */
export async function closeRealtime(
  client: SupabaseClient,
  currentSocket: () => OwnedSocket | undefined,
  clock: Clock,
): Promise<void> {
  const { realtime } = client;
  const socket = innerSocket(realtime);
  // Takes back the 50 s timer of a client whose channels are all gone.
  if (realtime.getChannels().length === 0) realtime.channel("closing");
  const disconnected = new Promise<void>((resolve) => {
    if (socket === undefined) void realtime.disconnect().then(() => resolve());
    else socket.disconnect(resolve);
  });
  for (const channel of realtime.getChannels()) channel.teardown();
  for (let tries = 0; tries < politeTries && isOpen(currentSocket()); tries++) await sleep(clock, politeMs);
  const last = currentSocket();
  if (last !== undefined && last.readyState !== closed) terminate(last);
  await disconnected; // it looks every 150 ms whether the socket is closed, and gives up looking after a second and a half
}

function isOpen(socket: OwnedSocket | undefined): boolean {
  return socket !== undefined && socket.readyState !== closed;
}

interface InnerSocket {
  disconnect(done: () => void): void;
}

function innerSocket(realtime: unknown): InnerSocket | undefined {
  const adapter = (realtime as { socketAdapter?: { getSocket?: () => unknown } }).socketAdapter; // internal; may be missing
  const socket = adapter?.getSocket?.() as { disconnect?: unknown } | undefined;
  return typeof socket?.disconnect === "function" ? (socket as InnerSocket) : undefined;
}
