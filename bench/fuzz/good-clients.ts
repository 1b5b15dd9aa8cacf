import { createClient, type RealtimeChannel, type SupabaseClient } from "@supabase/supabase-js";
import { randomUUID } from "node:crypto";
import WebSocket from "ws";
import type { Attacked } from "./serve.ts";

/** Longer than anything takes on a busy machine; then a client counts as disturbed. */
const PATIENCE_MS = 10_000;

/** Two official clients that keep exchanging broadcasts and presence, and notice everything that goes wrong with it. */
export class GoodClients {
  readonly #clients: readonly [SupabaseClient, SupabaseClient];
  readonly #channels: readonly [RealtimeChannel, RealtimeChannel];
  readonly #event: string;
  #heard: (message: unknown) => void = () => {};
  #fail: (error: Error) => void = () => {};
  readonly #disturbed: Promise<never>;
  #sent = 0;

  /** Sockets and channels that the two have on the server between rounds. */
  static readonly sockets = 2;
  static readonly channels = 2;

  private constructor(attacked: Attacked, topic: string) {
    const open = (): SupabaseClient =>
      createClient(attacked.url, attacked.anonKey, {
        accessToken: () => Promise.resolve(attacked.accessToken),
        // The type of `transport` is the browser's constructor; `ws` is what the package's documentation says to hand in.
        realtime: { transport: WebSocket as never },
      });
    this.#clients = [open(), open()];
    this.#event = randomUUID();
    const join = (client: SupabaseClient): RealtimeChannel =>
      client.channel(topic, { config: { broadcast: { ack: true }, presence: { enabled: true } } });
    this.#channels = [join(this.#clients[0]), join(this.#clients[1])];
    this.#disturbed = new Promise((_resolve, reject) => (this.#fail = reject));
    this.#disturbed.catch(() => {}); // whoever exchanges hears of it
  }

  /** `topic` is public: attackers may be there too, as anybody may. */
  static async open(attacked: Attacked, topic: string): Promise<GoodClients> {
    const good = new GoodClients(attacked, topic);
    await good.#subscribe();
    return good;
  }

  /** One broadcast there and one back, in ms. Rejects when one of them is missing, wrong, or the channel was lost. */
  async exchange(): Promise<number> {
    const begun = performance.now();
    for (const from of this.#channels) {
      const n = this.#sent++;
      const heard = new Promise((resolve) => (this.#heard = resolve));
      const answer = await this.#within(
        `the answer to broadcast ${n}`,
        from.send({ type: "broadcast", event: this.#event, payload: { n } }),
      );
      if (answer !== "ok") throw new Error(`broadcast ${n} was answered "${answer}"`);
      const got = await this.#within(`broadcast ${n}`, heard);
      if (got !== n) throw new Error(`expected broadcast ${n}, heard ${JSON.stringify(got)}`);
    }
    return performance.now() - begun;
  }

  /** One comes to a channel of their own, is seen, writes a row that the other hears of, goes, and is seen no more. */
  async meet(): Promise<void> {
    const topic = `private:meeting-${this.#sent++}`;
    const config = { private: true, presence: { enabled: true } };
    const [host, guest] = [
      this.#clients[0].channel(topic, { config: { ...config, presence: { key: "host", enabled: true } } }),
      this.#clients[1].channel(topic, { config: { ...config, presence: { key: "guest", enabled: true } } }),
    ];
    const seen = (event: "join" | "leave"): Promise<void> =>
      new Promise((resolve) => {
        const noted = ({ key }: { key: string }): void => {
          if (key === "guest") resolve();
        };
        if (event === "join") host.on("presence", { event: "join" }, noted);
        else host.on("presence", { event: "leave" }, noted);
      });
    const [came, went] = [seen("join"), seen("leave")];
    const body = `row of ${topic}`;
    const captured = new Promise<string>((resolve) => {
      host.on("system", {}, ({ extension, message }: { extension: string; message: string }) => {
        if (extension === "postgres_changes") resolve(message);
      });
    });
    const heard = new Promise<void>((resolve) => {
      host.on("postgres_changes", { event: "INSERT", schema: "public", table: "changes" }, ({ new: row }) => {
        if (row["body"] === body) resolve();
      });
    });
    await this.#within("the join of a meeting", Promise.all([subscribed(host), subscribed(guest)]));
    await guest.track({ here: true });
    await this.#within("the guest of a meeting", came);
    const message = await this.#within("row changes", captured);
    if (message !== "Subscribed to PostgreSQL") throw new Error(`row changes: ${message}`);
    const { error } = await this.#clients[1].from("changes").insert({ body });
    if (error !== null) throw new Error(`the row of a meeting: ${error.message}`);
    await this.#within("the row of a meeting", heard);
    await guest.untrack();
    await this.#within("the end of a meeting", went);
    await Promise.all([this.#clients[0].removeChannel(host), this.#clients[1].removeChannel(guest)]);
  }

  async close(): Promise<void> {
    this.#fail = () => {};
    await Promise.all(this.#clients.map((client) => client.removeAllChannels()));
    for (const client of this.#clients) await client.realtime.disconnect();
  }

  async #subscribe(): Promise<void> {
    for (const client of this.#clients) await client.realtime.setAuth();
    for (const channel of this.#channels) {
      channel.on("broadcast", { event: this.#event }, ({ payload }: { payload: { n: unknown } }) =>
        this.#heard(payload.n),
      );
      await subscribed(channel, (error) => this.#fail(error));
    }
  }

  async #within<T>(what: string, awaited: Promise<T>): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`${what}: nothing within ${PATIENCE_MS} ms`)), PATIENCE_MS);
    });
    try {
      return await Promise.race([awaited, late, this.#disturbed]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Resolves once subscribed; whatever status comes later is a loss. */
function subscribed(channel: RealtimeChannel, onLost: (error: Error) => void = () => {}): Promise<void> {
  return new Promise((resolve, reject) => {
    channel.subscribe((status, error) => {
      if (status === "SUBSCRIBED") return resolve();
      const lost = new Error(`${channel.topic}: ${status} ${error?.message ?? ""}`);
      reject(lost);
      onLost(lost);
    });
  });
}
