import type { RealtimeChannel } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { Presence, type PresenceOptions } from "./presence.ts";
import { Session, type SessionParts } from "./session.ts";

interface Wire {
  readonly channel: RealtimeChannel;
  readonly tracked: { readonly at: number; readonly payload: Record<string, unknown> }[];
  fire(event: "sync" | "join" | "leave", payload?: object): void;
}

/** What the room looks like from above: takes tracks, tells what it is told to tell. */
function wire(clock: TestClock, state: object = {}, answer: "ok" | "timed out" | Promise<"ok"> = "ok"): Wire {
  const handlers = new Map<string, (payload: object) => void>();
  const tracked: Wire["tracked"][number][] = [];
  const channel = {
    on: (_type: string, { event }: { event: string }, handler: (payload: object) => void) =>
      void handlers.set(event, handler),
    presenceState: () => state,
    track: async (payload: Record<string, unknown>) => {
      tracked.push({ at: clock.now(), payload });
      return answer;
    },
  };
  return {
    channel: channel as unknown as RealtimeChannel, // the three methods that presence uses
    tracked,
    fire: (event, payload = {}) => handlers.get(event)?.(payload),
  };
}

function open(
  sessions: readonly object[] = [],
  options: Partial<PresenceOptions> = {},
  isRoomJoined: () => boolean = () => true,
  listSessions: () => Promise<unknown> = async () => sessions,
): { presence: Presence; clock: TestClock; told: string[] } {
  const clock = new TestClock();
  const told: string[] = [];
  const presence = new Presence(
    {
      agentId: "me",
      tenantId: "t",
      instanceId: "i",
      graceMs: 1500,
      rosterThreshold: 3,
      relistMs: 30_000,
      planPresencePerSecond: undefined,
      capabilities: [],
      metadata: {},
      ...options,
    },
    {
      clock,
      random: () => 0.5,
      log: silentLog,
      isRoomJoined,
      listSessions,
      onChanges: (changes) => told.push(...changes.map(({ type, agentId }) => `${type} ${agentId}`)),
      onOwnSession: () => {},
      onSync: () => told.push("sync"),
    },
  );
  return { presence, clock, told };
}

const session = (agentId: string): object => ({
  agent_id: agentId,
  tenant_id: "t",
  instance_id: `${agentId}-1`,
  session_id: agentId,
});

test("many changes of status make few presence calls, the first at once, and the last value wins", async () => {
  const { presence, clock } = open();
  const room = wire(clock);
  await presence.start();
  presence.joined(room.channel);
  const began = clock.now();
  for (let count = 0; count < 50; count++) {
    presence.setStatus({ status: "busy", task: String(count), load: undefined });
    await clock.advance(100);
  }
  expect(room.tracked[0]?.at).toBe(began);
  expect(room.tracked.length).toBeLessThanOrEqual(4);
  await clock.advance(30_000);
  expect(room.tracked.at(-1)?.payload["task"]).toBe("49");
  expect(room.tracked.filter(({ at }) => at - began < 30_000).length).toBeLessThanOrEqual(4);
  await presence.close();
  expect(clock.pending).toBe(0);
});

test("a list of sessions that comes late costs no second presence call", async () => {
  let answer = (_sessions: readonly object[]): void => {};
  const late = new Promise<readonly object[]>((resolve) => (answer = resolve));
  const { presence, clock } = open([], {}, undefined, () => late);
  const room = wire(clock);
  const started = presence.start();
  presence.joined(room.channel);
  presence.heardSessions({ sessions: [session("other")] });
  await clock.advance(500);
  answer([session("other")]);
  await started;
  await clock.advance(10_000);
  expect(room.tracked).toHaveLength(1);
  await presence.close();
});

test("after each join of the room this agent is shown again, with what it said last", async () => {
  const { presence, clock } = open();
  await presence.start();
  const [first, second] = [wire(clock), wire(clock)];
  presence.joined(first.channel);
  presence.setStatus({ status: "busy", task: "reading", load: undefined });
  presence.joined(second.channel);
  expect(second.tracked.map(({ payload }) => payload)).toMatchObject([{ status: "busy", task: "reading" }]);
  await presence.close();
});

test("a presence call that the server did not take is made again", async () => {
  const { presence, clock } = open();
  const room = wire(clock, {}, "timed out");
  await presence.start();
  presence.joined(room.channel);
  await clock.advance(2_000);
  expect(room.tracked.length).toBe(2);
  await presence.close();
  expect(clock.pending).toBe(0);
});

test("whoever waits to be visible and gave up already is told so, and closing waits for a call under way", async () => {
  const { presence, clock } = open();
  const stopped = new AbortController();
  stopped.abort(new Error("no longer wanted"));
  await expect(presence.whenVisible(stopped.signal)).rejects.toThrow("no longer wanted");
  let take: (answer: "ok") => void = () => {};
  const room = wire(clock, {}, new Promise((resolve) => (take = resolve)));
  await presence.start();
  presence.joined(room.channel);
  let isClosed = false;
  const closing = presence.close().then(() => (isClosed = true));
  await clock.advance(0);
  expect(isClosed).toBe(false);
  take("ok");
  await closing;
  expect(clock.pending).toBe(0);
});

test("in a large room an agent is not shown by presence and knows the others by their sessions", async () => {
  const { presence, clock, told } = open(["a", "b", "c", "me"].map(session));
  const room = wire(clock);
  await presence.start();
  presence.joined(room.channel);
  expect(room.tracked).toEqual([]);
  expect(presence.mode).toBe("sessions");
  expect(told.toSorted()).toEqual(["join a", "join b", "join c", "join me"]);
  await presence.whenVisible(new AbortController().signal);
  await presence.close();
});

test("before the first state of a channel its diffs say nothing", async () => {
  const meta = { agent_id: "a", tenant_id: "t", instance_id: "a-1", presence_ref: "1" };
  const { presence, clock, told } = open();
  const room = wire(clock, { "agent:a": [meta] });
  await presence.start();
  presence.bind(room.channel);
  room.fire("join", { key: "agent:a", newPresences: [meta] });
  expect(told).toEqual([]);
  room.fire("sync");
  expect(told).toEqual(["join a", "sync"]);
  room.fire("leave", { key: "agent:a", leftPresences: [meta] });
  await clock.advance(1500);
  expect(told).toEqual(["join a", "sync", "leave a"]);
  await presence.close();
});

function openSession(parts: Partial<SessionParts>): { session: Session; clock: TestClock; calls: string[] } {
  const clock = new TestClock();
  const calls: string[] = [];
  const { call = async () => ({}) } = parts;
  const live = new Session(
    {
      sessionId: "s",
      instanceId: "i",
      heartbeatMs: 1000,
      timeoutSeconds: 90,
      capabilities: [],
      metadata: {},
      exclusive: false,
    },
    {
      clock,
      random: () => 0,
      log: silentLog,
      status: () => ({ status: "busy", task: "x", load: 0.5 }),
      onReplaced: () => calls.push("replaced"),
      onReopened: () => calls.push("reopened"),
      onPositions: ({ inbox }) => calls.push(`inbox at ${inbox}`),
      onTrouble: () => calls.push("trouble"),
      ...parts,
      call: (name, args) => {
        calls.push(name);
        return call(name, args);
      },
    },
  );
  return { session: live, clock, calls };
}

test("the heartbeat says where the inbox is, and a session that somebody closed is opened again", async () => {
  let alive = true;
  const { session, clock, calls } = openSession({ call: async () => ({ alive, positions: { inbox: 7 } }) });
  await session.open();
  session.keepAlive();
  await clock.advance(1000);
  alive = false;
  await clock.advance(1000);
  await session.close(1000);
  expect(calls).toEqual([
    "open_session",
    "set_load",
    "heartbeat",
    "inbox at 7",
    "heartbeat",
    "open_session",
    "set_load",
    "reopened",
    "inbox at 7",
    "close_session",
  ]);
  expect(clock.pending).toBe(0);
});

test("failing heartbeats are trouble once they have lasted, and go on", async () => {
  const { session, clock, calls } = openSession({
    call: () => Promise.reject(new FederationError("unreachable", "down")),
  });
  session.keepAlive();
  await clock.advance(5000);
  expect(calls.filter((call) => call === "trouble")).toHaveLength(1);
  expect(calls.filter((call) => call === "heartbeat")).toHaveLength(5);
  await session.close(1000); // it was never open, so there is nothing to tell
  expect(calls).not.toContain("close_session");
});

test("a status for a session that is gone opens it again, and is written then", async () => {
  let isGone = true;
  const { session, calls } = openSession({
    call: async (name) => {
      if (name === "open_session") isGone = false;
      if (name === "update_session" && isGone) throw new FederationError("not_found", "none");
      return {};
    },
  });
  await session.update({ status: "busy", task: "x", load: 0.5 });
  const again = ["set_load", "update_session"];
  expect(calls).toEqual([...again, "open_session", "set_load", "reopened", ...again]);
});

test("of what is said while an earlier change is on its way the last one stays", async () => {
  const written: unknown[] = [];
  let answer = (): void => {};
  const { session } = openSession({
    call: async (name, { status }) => {
      if (name !== "update_session") return {};
      if (status === "first") await new Promise<void>((resolve) => (answer = resolve));
      return written.push(status);
    },
  });
  const all = ["first", "second", "last"].map((status) =>
    session.update({ status, task: undefined, load: undefined }),
  );
  await new Promise((resolve) => setImmediate(resolve));
  expect(written).toEqual([]);
  answer();
  await Promise.all(all);
  expect(written).toEqual(["first", "second", "last"]);
});

test("while the room is lost nothing is said into it", async () => {
  let isJoined = true;
  const { presence, clock } = open([], {}, () => isJoined);
  const room = wire(clock);
  await presence.start();
  presence.joined(room.channel);
  isJoined = false;
  presence.setStatus({ status: "busy", task: "waiting", load: undefined });
  expect(room.tracked).toHaveLength(1);
  isJoined = true;
  presence.joined(room.channel);
  expect(room.tracked.at(-1)?.payload["task"]).toBe("waiting");
  await presence.close();
});

test("whoever changed something in a large room sees to it that it is told, unless it was", async () => {
  const { session, clock, calls } = openSession({
    call: async (name) => (name === "tell_sessions" ? null : { tell_in_ms: 400 }),
  });
  await session.open();
  session.wasTold();
  await clock.advance(1000);
  expect(calls).toEqual(["open_session", "set_load"]);
  await session.update({ status: "busy", task: "y", load: undefined });
  await clock.advance(400);
  expect(calls).toEqual(["open_session", "set_load", "update_session", "tell_sessions"]);
  await session.close(1000);
  expect(clock.pending).toBe(0);
});

test("a session that was replaced is not opened again", async () => {
  const { session, clock, calls } = openSession({
    call: async (name) => (name === "heartbeat" ? { alive: false, end_reason: "replaced" } : {}),
  });
  await session.open();
  session.keepAlive();
  await clock.advance(1000);
  await session.close(1000);
  expect(calls).toEqual(["open_session", "set_load", "heartbeat", "replaced"]);
});

test("sessions that the feed told of are heard whole, and what it lost is read", async () => {
  const rows: object[] = [];
  const { presence, clock, told } = open(rows, { rosterThreshold: 1, metadata: {} });
  await presence.start();
  const row = (agentId: string, seq: number, more: object = {}): object => ({
    ...session(agentId),
    seq,
    started_at: "2026-01-01T00:00:00Z",
    last_seen_at: "2026-01-01T00:00:00Z",
    capabilities: ["review"],
    load: 0.25,
    ended_at: null,
    ...more,
  });
  presence.heardSessions({ sessions: [row("a", 1), row("b", 2)] });
  await clock.advance(200);
  expect(presence.mode).toBe("sessions");
  expect(presence.roster.agents()).toMatchObject([
    { agent_id: "a", capabilities: ["review"], load: 0.25 },
    { agent_id: "b" },
  ]);
  presence.heardSessions({
    sessions: [row("b", 3, { ended_at: "2026-01-01T00:01:00Z", end_reason: "timeout" })],
  });
  expect(told.at(-1)).toBe("leave b");
  rows.push(row("a", 1), row("c", 4));
  presence.position(4);
  await clock.advance(2500);
  expect(told).toContain("join c");
  presence.position(4);
  await clock.advance(0);
  // A digest that comes after one that was not heard.
  rows.push(row("d", 5));
  presence.heardSessions({ after: 5, sessions: [row("e", 6)] });
  expect(told.at(-1)).toBe("join e");
  rows.push(row("e", 6));
  await clock.advance(1000);
  expect(told).toContain("join d");
  // Now everything is known, an end that no list has as well.
  presence.heardSessions({ after: 6, sessions: [row("d", 7, { ended_at: "2026-01-01T00:02:00Z" })] });
  presence.heardSessions({ after: 7, sessions: [row("e", 8)] });
  rows.push(row("f", 9));
  await clock.advance(2500);
  expect(told).not.toContain("join f"); // nobody looked
  await presence.close();
  expect(clock.pending).toBe(0);
});
