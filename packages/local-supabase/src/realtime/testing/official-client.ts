import { createClient, type RealtimeChannel, type SupabaseClient } from "@supabase/supabase-js";
import { createClient as createOlderClient } from "supabase-js-older";
import WebSocket from "ws";
import type { ProtocolVersion } from "../codec/message.ts";
import type { TestServer } from "./test-server.ts";

/** A release of supabase-js that decides whether we are compatible, on one of the protocols that it speaks. */
export interface Referee {
  readonly release: keyof typeof releases;
  readonly vsn: ProtocolVersion;
}

/** The newest release, and the last before its socket code was replaced by Phoenix's own. */
const releases = {
  "2.119.1": createClient,
  // Its types are other types; the methods that tests call are the same, which is what the tests are for.
  "2.99.3": createOlderClient as unknown as typeof createClient,
} as const;

export const referees: readonly Referee[] = [
  { release: "2.119.1", vsn: "1.0.0" },
  { release: "2.119.1", vsn: "2.0.0" },
  { release: "2.99.3", vsn: "1.0.0" },
  { release: "2.99.3", vsn: "2.0.0" },
];

export interface OfficialClient {
  readonly supabase: SupabaseClient;
  /** Every socket the client opened, newest last. */
  readonly sockets: readonly WebSocket[];
  /** What `accessToken` answers from now on. */
  useToken(token: string): void;
}

/** The older release joins again at this pace even while a join is under way, and then leaves what it joined. */
const comeBackAfterMs: Readonly<Record<Referee["release"], (tries: number) => number>> = {
  "2.119.1": () => 20,
  "2.99.3": (tries) => (tries <= 2 ? 40 : 1000),
};

const clients: SupabaseClient[] = [];

/** The unmodified supabase-js; it speaks with `token`, and reconnects and rejoins without waiting long. */
export async function openClient(
  server: TestServer,
  { release, vsn }: Referee,
  token: string,
): Promise<OfficialClient> {
  const sockets: WebSocket[] = [];
  class ObservedSocket extends WebSocket {
    constructor(...args: ConstructorParameters<typeof WebSocket>) {
      super(...args);
      sockets.push(this);
    }
  }
  let current = token;
  const supabase = releases[release](server.url, server.keyring.anonKey, {
    accessToken: () => Promise.resolve(current),
    // The type of `transport` is the browser's constructor; `ws` is what the package's documentation says to hand in.
    realtime: { transport: ObservedSocket as never, vsn, reconnectAfterMs: comeBackAfterMs[release] },
  });
  clients.push(supabase);
  await supabase.realtime.setAuth(); // so that the first join carries the token
  return { supabase, sockets, useToken: (next) => void (current = next) };
}

export async function closeClients(): Promise<void> {
  await Promise.all(
    clients.splice(0).map(async (supabase) => {
      await supabase.removeAllChannels();
      await supabase.realtime.disconnect();
    }),
  );
}

export interface Status {
  readonly status: string;
  readonly reason: string | undefined;
}

/** Subscribes; resolves at the first status. Later ones go to `statuses`. */
export function subscribe(channel: RealtimeChannel, statuses: Heard<Status> = new Heard()): Promise<Status> {
  const first = statuses.next();
  channel.subscribe((status, error) => statuses.add({ status, reason: error?.message }));
  return first;
}

/** What was heard, one after the other; whoever is early waits. */
export class Heard<T> {
  readonly #heard: T[] = [];
  readonly #waiting: ((item: T) => void)[] = [];

  readonly add = (item: T): void => {
    const first = this.#waiting.shift();
    if (first === undefined) this.#heard.push(item);
    else first(item);
  };

  next(): Promise<T> {
    const first = this.#heard.shift();
    return first === undefined
      ? new Promise((resolve) => this.#waiting.push(resolve))
      : Promise.resolve(first);
  }

  /** The next one that `accept` says yes to; those before it are gone. */
  async until(accept: (item: T) => boolean): Promise<T> {
    for (;;) {
      const item = await this.next();
      if (accept(item)) return item;
    }
  }

  /** Those that nobody took. */
  rest(): readonly T[] {
    return this.#heard.splice(0);
  }
}
