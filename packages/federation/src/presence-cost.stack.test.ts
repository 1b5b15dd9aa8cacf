// docs/presence.md says what presence costs; here its tables are read and held against the counters of the local server.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { plans } from "../../local-supabase/src/realtime/limits/plans.ts";
import { createClient } from "@supabase/supabase-js";
import { resolveTransport } from "./connection/transport.ts";
import type { RealtimeFederationHub } from "./realtime-hub.ts";
import { systemClock, type Clock } from "./runtime/clock.ts";
import { next, until, useHubBench } from "./testing/hub-bench.node.ts";

// A room becomes large without a hundred calls, and digests come when a test says so.
const sql = `
create function public.fill_room(tenant text, many integer) returns void
language sql security definer set search_path = '' as $$
  insert into public.agent_sessions (tenant_id, session_id, agent_id, instance_id)
  select fill_room.tenant, 'silent-' || n, 'silent-' || n, 'silent-' || n from generate_series(1, many) n
$$;
create function public.digest(tenant text, held boolean) returns void
language sql security definer set search_path = '' as $$
  insert into federation.upkeep as u (tenant_id, told_at)
  values (digest.tenant, case when held then now() + interval '1 hour' else '-infinity' end)
  on conflict (tenant_id) do update set told_at = excluded.told_at;
  select public.tell_sessions(as_tenant => digest.tenant) where not held
$$;
grant execute on function public.fill_room, public.digest to service_role;
`;

// Without limits: these tests follow each other faster than a plan allows, and a channel that is closed for it is not counted.
const bench = useHubBench({ sql });
const page = readFileSync(new URL("../../../docs/presence.md", import.meta.url), "utf8");
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("|"))
  .map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );

interface Cost {
  readonly messages: number;
  readonly presence: number;
}

/** What a row of the cost model comes to for `n` processes. */
function costOf(what: string, n: number): Cost {
  const row = rows.find(([first]) => first?.includes(what));
  return { messages: valueOf(row?.[1], n), presence: valueOf(row?.[2], n) };
}

/** Of `2n + 1` and the like. */
function valueOf(formula: string | undefined, n: number): number {
  const parts = /^(?:(\d*)n)?(?:(?:^| ([+-]) )(\d+))?$/.exec(formula ?? "");
  if (formula === undefined || parts === null) throw new Error(`no formula: ${formula}`);
  const [, factor, sign, rest = "0"] = parts;
  const perProcess = factor === undefined ? 0 : factor === "" ? 1 : Number(factor);
  return perProcess * n + (sign === "-" ? -1 : 1) * Number(rest);
}

async function counted(): Promise<Cost> {
  const text = await (await fetch(`${bench.stack.url}/metrics`)).text();
  const sum = (name: string): number =>
    text
      .split("\n")
      .filter((line) => line.startsWith(name))
      .reduce((total, line) => total + Number(line.slice(line.lastIndexOf(" "))), 0);
  return {
    messages: sum("realtime_broadcasts_total") + sum("realtime_deliveries_total"),
    presence: sum("realtime_presence_events_total"),
  };
}

/** What `act` costs. `seen` resolves when everybody has it; a last durable broadcast, taken off again, comes behind all that the feed carries. */
async function costing(hubs: readonly RealtimeFederationHub[], act: () => Promise<unknown>): Promise<Cost> {
  const before = await counted();
  await act();
  const [last, ...others] = hubs;
  const heard = others
    .filter(({ agentId }) => agentId !== last?.agentId) // an agent does not hear itself
    .map((hub) => next(hub, "message:fence"));
  await last?.broadcast("fence", {}, { durable: true });
  await Promise.all(heard);
  const after = await counted();
  return {
    messages: after.messages - before.messages - 1 - hubs.length,
    presence: after.presence - before.presence,
  };
}

const shows = (hub: RealtimeFederationHub, test: () => boolean): Promise<void> =>
  until(hub, ["agent:join", "agent:update", "agent:leave"], test);
const statusOf = (hub: RealtimeFederationHub, agentId: string): string | undefined =>
  hub.getActiveAgents().find(({ agent_id }) => agent_id === agentId)?.status;

test.each([2, 5])("in a small room of %i the model says what the server counts", async (n) => {
  const hubs: RealtimeFederationHub[] = [];
  for (let i = 1; i < n; i++) hubs.push(await bench.open(`agent-${i}`));
  await Promise.all(hubs.map((hub) => shows(hub, () => hub.getActiveAgents().length === n - 1)));
  const late = bench.make("late");
  const joining = await costing([...hubs], async () => {
    await late.initialize();
    await Promise.all(hubs.map((hub) => shows(hub, () => hub.getActiveAgents().length === n)));
  });
  // The newcomer hears the fence as well.
  expect({ ...joining, messages: joining.messages - 1 }).toEqual(costOf("joins a small room", n));

  const all = [...hubs, late];
  const changing = await costing(all, async () => {
    const told = hubs.map((hub) => next(hub, "message:status_update"));
    await late.updateStatus("busy");
    await Promise.all([...told, ...all.map((hub) => shows(hub, () => statusOf(hub, "late") === "busy"))]);
  });
  expect(changing).toEqual(costOf("`updateStatus` in a small room", n));

  const leaving = await costing(hubs, async () => {
    const gone = hubs.map((hub) => next(hub, "agent:leave"));
    await late.shutdown();
    await Promise.all(gone);
  });
  const { messages, presence } = costOf("leaves a small room", n);
  expect(leaving.presence).toBe(presence);
  // Whether the one that leaves still hears that its session was closed is a race.
  expect([messages, messages - 1]).toContain(leaving.messages);
});

test("heartbeats cost no messages", async () => {
  const beats: (() => void)[] = [];
  let count = 0;
  const counting: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (String(input instanceof Request ? input.url : input).endsWith("/rpc/heartbeat") && ++count >= 6)
      for (const told of beats.splice(0)) told();
    return answer;
  };
  const hubs = [
    await bench.open("a", { presenceHeartbeat: 20, fetch: counting }),
    await bench.open("b", { presenceHeartbeat: 20, fetch: counting }),
  ];
  await Promise.all(hubs.map((hub) => shows(hub, () => hub.getActiveAgents().length === 2)));
  count = 0;
  const cost = await costing(hubs, () => new Promise<void>((resolve) => void beats.push(resolve)));
  expect(cost).toEqual(costOf("a minute in which nothing changes", hubs.length));
});

test("a heartbeat of a second process asks the first in the agent's inbox whether it lives", async () => {
  const beats: (() => void)[] = [];
  const held: Clock = {
    now: () => systemClock.now(),
    // Heartbeats come when the test says so.
    after: (ms, run) => (ms === 30_000 ? (beats.push(run), () => {}) : systemClock.after(ms, run)),
  };
  let answered = 0;
  let isAnswered = (): void => {};
  /** Resolves when the first process has said so often that it lives. */
  const answers = (count: number): Promise<void> =>
    new Promise((resolve) => {
      isAnswered = () => (answered >= count ? resolve() : undefined);
      isAnswered();
    });
  const counting: typeof fetch = async (input, init) => {
    const answer = await fetch(input, init);
    if (String(input instanceof Request ? input.url : input).endsWith("/rpc/take_inbox")) answered++;
    isAnswered();
    return answer;
  };
  const twins = [await bench.open("twin", { fetch: counting }), await bench.open("twin", { clock: held })];
  await answers(2); // when it came, and when the second came
  const watcher = await bench.open("watcher");
  const cost = await costing([watcher, ...twins], async () => {
    for (const beat of beats.splice(0)) beat();
    await answers(3);
  });
  const [, inAll = ""] = /A second process of an agent costs (\d+) messages more/.exec(page) ?? [];
  expect(cost).toEqual({ messages: Number(inAll), presence: 0 });
});

test("in a large room there is no presence, and a digest for all that changed since the last one", async () => {
  const { url, serviceRoleKey } = bench.stack;
  const realtime = { transport: await resolveTransport() };
  const service = createClient(url, serviceRoleKey, { auth: { persistSession: false }, realtime });
  const call = async (name: string, args: object): Promise<void> => {
    const { error } = await service.rpc(name, { tenant: bench.tenant, ...args });
    if (error !== null) throw new Error(`${name}: ${error.message}`);
  };
  await call("fill_room", { many: 101 });
  const often = { presenceHeartbeat: 300 }; // of a hundred processes somebody's heart beats all the time
  const hubs = [await bench.open("a", often), await bench.open("b", often), await bench.open("c", often)];
  const [a] = hubs;
  if (a === undefined) throw new Error("no hubs");
  await Promise.all(hubs.map((hub) => shows(hub, () => hub.getActiveAgents().length === 104)));
  const cost = await costing(hubs, async () => {
    await a.updateStatus("busy");
    await Promise.all(hubs.map((hub) => shows(hub, () => statusOf(hub, "a") === "busy")));
  });
  // Only the hubs are at the feed and in the room.
  expect(cost).toEqual(costOf("`updateStatus` in a large room", hubs.length));

  const late = bench.make("late");
  const joining = await costing(hubs, async () => {
    await late.initialize();
    await Promise.all([...hubs, late].map((hub) => shows(hub, () => hub.getActiveAgents().length === 105)));
  });
  const joined = costOf("joins a large room", 4);
  expect(joining.presence).toBe(joined.presence);
  // The newcomer hears the fence as well, and its own digest where it has joined the feed by then.
  expect([joined.messages, joined.messages + 1]).toContain(joining.messages - 1);

  const leaving = await costing(hubs, async () => {
    await late.shutdown();
    await Promise.all(hubs.map((hub) => shows(hub, () => hub.getActiveAgents().length === 104)));
  });
  const left = costOf("leaves a large room", 4);
  expect(leaving.presence).toBe(left.presence);
  // Whether the one that leaves still hears that its session was closed is a race.
  expect([left.messages, left.messages - 1]).toContain(leaving.messages);

  // Changes that share a digest: each is said to all, and together they are told once.
  const n = hubs.length;
  const [, k, perChange, perDigest] =
    /calls of `updateStatus` that share one cost (k)(\w+) \+ ([^,]*),/.exec(page) ?? [];
  expect(k).toBe("k");
  const together = await costing(hubs, async () => {
    await call("digest", { held: true });
    for (const task of ["1", "2"]) await Promise.all(hubs.map((hub) => hub.updateStatus("away", task)));
    await call("digest", { held: false });
    const seen = (hub: RealtimeFederationHub): boolean =>
      ["a", "b", "c"].every((id) => statusOf(hub, id) === "away");
    await Promise.all(hubs.map((hub) => shows(hub, () => seen(hub))));
  });
  expect(together).toEqual({
    messages: 2 * n * valueOf(perChange, n) + valueOf(perDigest, n),
    presence: 0,
  });

  const [, perMove] = /and joins and leaves ([^.]*) together\./.exec(page) ?? [];
  const moving = await costing(hubs, async () => {
    await call("digest", { held: true });
    const others = [await bench.open("d"), await bench.open("e")];
    await Promise.all(others.map((hub) => hub.shutdown()));
    await bench.open("f");
    await call("digest", { held: false });
    await Promise.all(hubs.map((hub) => shows(hub, () => statusOf(hub, "f") === "online")));
  });
  // Those who are there at the end hear digest and fence.
  expect(moving.messages - 1).toBe(valueOf(perMove, n + 1));
});

test("what the page says of the plans follows from the model and from the plans' figures", () => {
  const byPlan = rows.filter(([plan]) => plan !== undefined && Object.hasOwn(plans, plan.toLowerCase()));
  const number = (cell: string | undefined): number => Number(cell?.replaceAll(",", ""));
  for (const [plan = "", messages, presence, n, changes, joins] of byPlan) {
    const { messagesPerSecond = 0, presenceEventsPerSecond = 0 } =
      plans[plan.toLowerCase() as keyof typeof plans]; // filtered above
    expect([number(messages), number(presence)]).toEqual([messagesPerSecond, presenceEventsPerSecond]);
    const aMinute = (cost: Cost): number =>
      Math.floor(60 * Math.min(messagesPerSecond / cost.messages, presenceEventsPerSecond / cost.presence));
    expect([plan, n, number(changes), number(joins)]).toEqual([
      plan,
      n,
      aMinute(costOf("`updateStatus` in a small room", number(n))),
      aMinute(costOf("joins a small room", number(n))),
    ]);
  }
  expect(byPlan.length).toBe(6);
  const [, digests, seconds, many, left] =
    /at most (\d+) of n \+ 1 in (\d+) seconds, so ([\d,]+) of them on Team have room for (\d+) a minute/.exec(
      page,
    ) ?? [];
  const [n, perSecond] = [number(many), number(digests) / number(seconds)];
  expect(perSecond).toBeCloseTo(1000 / 600, 9); // a digest every 0.6 s
  const rest = plans.team.messagesPerSecond ?? 0;
  expect(Math.floor((60 * (rest - perSecond * (n + 1))) / n)).toBe(number(left));
});
