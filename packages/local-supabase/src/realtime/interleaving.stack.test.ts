import { randomUUID } from "node:crypto";
import { once } from "node:events";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../database/database.ts";
import { InterleavingClient } from "./testing/interleaving-client.ts";
import { InterleavingModel, PRIVATE_ROOM, type Answer, type Command } from "./testing/interleaving-model.ts";
import { openRealtimeDatabase, startTestServer, type TestServer } from "./testing/test-server.ts";

const seed = Number(process.env["REALTIME_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
const versions = ["1.0.0", "2.0.0", "2.0.0"] as const;

const place = { client: fc.nat(versions.length - 1), room: fc.nat(1) };
const command: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      ...place,
      do: fc.constant("join" as const),
      hasPresence: fc.boolean(),
      self: fc.boolean(),
    }),
  },
  { weight: 5, arbitrary: fc.record({ ...place, do: fc.constant("track" as const), n: fc.nat(3) }) },
  {
    weight: 5,
    arbitrary: fc.record({ ...place, do: fc.constant("broadcast" as const), isBinary: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ ...place, do: fc.constantFrom("leave" as const, "untrack" as const) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      ...place,
      do: fc.constant("token" as const),
      token: fc.constantFrom("fresh" as const, "stranger" as const, "broken" as const),
    }),
  },
  { weight: 1, arbitrary: fc.record({ ...place, do: fc.constant("disconnect" as const) }) },
);

let database: Database;
let server: TestServer;
beforeAll(async () => {
  database = await openRealtimeDatabase();
  const presenceCalls = { maxCalls: 1_000_000, windowMs: 1 };
  server = await startTestServer({ database, settings: { presenceCalls, accessTokenThrottleMs: 0 } });
});
afterAll(async () => {
  await server.close();
  await database.close();
});

test(`however clients interleave, all know what the model knows (REALTIME_SEED=${seed})`, async () => {
  const phases = fc.array(fc.array(command, { maxLength: 14 }), { minLength: 1, maxLength: 4 });
  await fc.assert(
    fc.asyncProperty(phases, async (all) => {
      const run = await Run.start();
      try {
        for (const commands of all) await run.phase(commands);
      } finally {
        await run.end();
      }
    }),
    { seed, numRuns: 60 },
  );
});

/** One run: rooms of its own, clients that come back after a disconnect, and the model beside them. */
class Run {
  readonly #model = new InterleavingModel();
  readonly #clients: (InterleavingClient | undefined)[] = versions.map(() => undefined);
  readonly #topics: readonly string[];
  readonly #tokens: Readonly<Record<"fresh" | "stranger" | "broken", string>>;
  readonly #url: string;
  #pushes = 0;

  private constructor(user: string, tokens: { own: string; fresh: string; stranger: string }) {
    this.#topics = [`realtime:open-${user}`, `realtime:user:${user}`];
    this.#tokens = { fresh: tokens.fresh, stranger: tokens.stranger, broken: "a.b.c" };
    this.#url = `${server.url}/realtime/v1/websocket?apikey=${tokens.own}`;
  }

  static async start(): Promise<Run> {
    const user = randomUUID();
    const mint = (sub: string, jti: string): Promise<string> =>
      server.keyring.mint({ role: "authenticated", sub, jti });
    const [own, fresh, stranger] = [
      await mint(user, "1"),
      await mint(user, "2"),
      await mint(randomUUID(), "3"),
    ];
    return new Run(user, { own, fresh, stranger });
  }

  /** All commands are on their way before anything is read. */
  async phase(commands: readonly Command[]): Promise<void> {
    await this.#connect();
    this.#model.beginPhase();
    const expected: { client: InterleavingClient; ref: string; answer: Answer }[] = [];
    const said: { client: number; room: number; n: number }[] = [];
    for (const each of commands) {
      const client = this.#clients[each.client];
      if (client === undefined) continue;
      const answer = this.#model.apply(each);
      if (each.do === "disconnect") {
        client.socket.ws.close(1000);
        this.#clients[each.client] = undefined;
        if (client.socket.ws.readyState !== client.socket.ws.CLOSED) await once(client.socket.ws, "close");
        continue;
      }
      const n = this.#pushes++ * 10 + each.client;
      const ref = `r${n}`;
      client.push(each, ref, this.#payload(each, n));
      expected.push({ client, ref, answer });
      if (each.do === "broadcast" && answer === "ok") said.push({ client: each.client, room: each.room, n });
    }
    await this.#settle();
    for (const { client, ref, answer } of expected)
      if (this.#clients.includes(client))
        expect([ref, client.answers.get(ref) ?? "nothing"]).toEqual([ref, answer]);
    this.#compare(said);
  }

  async end(): Promise<void> {
    await Promise.all(this.#clients.map(async (client) => client?.socket.close()));
  }

  async #connect(): Promise<void> {
    for (const [i, version] of versions.entries()) {
      if (this.#clients[i] !== undefined) continue;
      const client = new InterleavingClient(this.#url, version, this.#topics);
      expect(await client.socket.opened).toBeUndefined();
      this.#clients[i] = client;
    }
  }

  #payload(each: Command, n: number): unknown {
    switch (each.do) {
      case "join": {
        const presence = { enabled: each.hasPresence, key: String(each.client) };
        const broadcast = { ack: true, self: each.self };
        return { config: { broadcast, presence, private: each.room === PRIVATE_ROOM } };
      }
      case "track":
        return { type: "presence", event: "track", payload: { n: each.n } };
      case "untrack":
        return { type: "presence", event: "untrack" };
      case "broadcast":
        return { n };
      case "token":
        return { access_token: this.#tokens[each.token] };
      case "leave":
      case "disconnect":
        return {};
    }
  }

  /** Until the server knows who is gone, has done what was pushed, and all that it said is here. */
  async #settle(): Promise<void> {
    const open = this.#clients.filter((client) => client !== undefined);
    for (const client of open) await client.settle();
    while (!server.realtime.metrics().includes(`realtime_sockets ${open.length}\n`))
      await new Promise(setImmediate);
    for (const client of open) await client.settle();
    for (const client of open) client.read();
  }

  #compare(said: readonly { client: number; room: number; n: number }[]): void {
    for (const [c, client] of this.#clients.entries()) {
      for (const [r, view] of client?.rooms.entries() ?? []) {
        const seat = this.#model.seat(c, r);
        expect([c, r, view.joinRef !== undefined]).toEqual([c, r, seat !== undefined]);
        if (seat?.hasPresence === true)
          expect([...(view.present?.values() ?? ["no state"])].toSorted()).toEqual(
            this.#model.present(r, versions.length),
          );
        const due = said.filter(
          ({ client: sender, room }) => room === r && (sender !== c || seat?.self === true),
        );
        if (seat?.isOld === true) expect(new Set(view.heard)).toEqual(new Set(due.map(({ n }) => n)));
        view.heard = [];
      }
    }
  }
}
