import type { RealtimeChannel } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { RateWindow } from "../../../local-supabase/src/realtime/limits/rate-window.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { Presence } from "./presence.ts";

type Fire = (event: string, payload: object) => void;
interface Shown {
  readonly at: number;
  readonly name: string;
  readonly task: unknown;
  /** Presence events of the room so far. */
  readonly events: number;
}

/** A room of so many who came one after the other, whose presence events are counted as a hosted project counts them. */
async function room(names: readonly string[], planPresencePerSecond: number | undefined, everySeconds = 1) {
  const clock = new TestClock();
  const counted = new RateWindow();
  const fires: Fire[] = [];
  const shown: Shown[] = [];
  const state: Record<string, object[]> = {};
  let refs = 0;
  let events = 0;
  let most = 0;
  const show = (name: string, payload: Record<string, unknown>): void => {
    events += 1 + fires.length;
    shown.push({ at: clock.now(), name, task: payload["task"], events });
    counted.add(1 + fires.length, clock.now());
    const newPresences = [{ ...payload, presence_ref: String(++refs) }];
    state[`agent:${name}`] = newPresences;
    clock.after(latencyMs, () => {
      for (const fire of fires) fire("join", { key: `agent:${name}`, newPresences });
    });
  };
  const rejoins: (() => void)[] = [];
  const come = async (name: string, random: number): Promise<Presence> => {
    const handlers = new Map<string, (payload: object) => void>();
    const channel = {
      on: (_type: string, { event }: { event: string }, handler: (payload: object) => void) =>
        void handlers.set(event, handler),
      presenceState: () => state,
      track: async (payload: Record<string, unknown>) => {
        show(name, payload);
        return "ok";
      },
    } as unknown as RealtimeChannel; // the three methods that presence uses
    const presence = new Presence(
      {
        agentId: name,
        tenantId: "t",
        instanceId: `${name}-1`,
        graceMs: 1_500,
        rosterThreshold: 100,
        relistMs: 1_000_000,
        planPresencePerSecond,
        capabilities: [],
        metadata: {},
      },
      {
        clock,
        random: () => random,
        log: silentLog,
        isRoomJoined: () => true,
        listSessions: async () =>
          names.map((agent_id) => ({ agent_id, tenant_id: "t", instance_id: `${agent_id}-1` })),
        onChanges: () => {},
        onOwnSession: () => {},
        onSync: () => {},
      },
    );
    presence.bind(channel);
    await presence.start();
    fires.push((event, payload) => handlers.get(event)?.(payload));
    handlers.get("sync")?.({});
    presence.joined(channel);
    rejoins.push(() => {
      presence.bind(channel);
      handlers.get("sync")?.({});
      presence.joined(channel);
    });
    return presence;
  };
  const advance = async (seconds: number): Promise<void> => {
    for (let tenth = 0; tenth < seconds * 10; tenth++) {
      await clock.advance(100);
      most = Math.max(most, counted.perSecond(clock.now()));
    }
  };
  const all: Presence[] = [];
  for (const [index, name] of names.entries()) {
    all.push(await come(name, index / names.length));
    await advance(everySeconds);
  }
  return { all, shown, advance, rejoins, mostPerSecond: () => most };
}

const latencyMs = 100;
const ten = Array.from({ length: 10 }, (_, index) => `agent-${index}`);

test("ten who change all the time stay within the plan together, and what each said last is seen", async () => {
  const { all, shown, advance, mostPerSecond } = await room(ten, 20);
  for (let second = 1; second <= 120; second++) {
    for (const presence of all) presence.setStatus({ status: "busy", task: String(second), load: undefined });
    await advance(1);
  }
  await advance(120);
  expect(mostPerSecond()).toBeLessThanOrEqual(20);
  const last = ten.map((name) => shown.findLast((each) => each.name === name)?.task);
  expect(last).toEqual(ten.map(() => "120"));
  // Nearly all that the plan allows is used: 11 events a change.
  expect(shown.length).toBeGreaterThan((120 * 20 * 0.6) / 11);
  expect(Math.min(...all.map(({ coalesced }) => coalesced))).toBeGreaterThan(0);
  await Promise.all(all.map((presence) => presence.close()));
});

test("of forty who change at the same moment few are shown before the others have heard of it", async () => {
  const forty = Array.from({ length: 40 }, (_, index) => `agent-${index + 10}`);
  const { all, advance, mostPerSecond } = await room(forty, 20, 3);
  await advance(60);
  for (const presence of all) presence.setStatus({ status: "busy", task: "change", load: undefined });
  await advance(70);
  expect(mostPerSecond()).toBeLessThanOrEqual(20);
  await Promise.all(all.map((presence) => presence.close()));
});

test("when a server comes back all are shown at once, since they are taken for gone until then", async () => {
  const { all, shown, advance, rejoins } = await room(ten, 20);
  await advance(30);
  shown.length = 0;
  for (const rejoin of rejoins) rejoin();
  expect(shown.map(({ name }) => name)).toEqual(ten);
  await Promise.all(all.map((presence) => presence.close()));
});

test("while the others are silent one may use what all of them have", async () => {
  const { all, shown, advance } = await room(ten, 20);
  await advance(30);
  shown.length = 0;
  for (let second = 1; second <= 4; second++) {
    all[0]?.setStatus({ status: "busy", task: String(second), load: undefined });
    await advance(1);
  }
  expect(shown.map(({ task }) => task)).toEqual(["1", "2", "3", "4"]);
  await Promise.all(all.map((presence) => presence.close()));
});

test("who comes in a storm that exceeds the plan knows what it cost before it came, and waits as the others do", async () => {
  const names = Array.from({ length: 20 }, (_, index) => `agent-${index + 10}`);
  const { all, shown, advance } = await room(names, 20, 0);
  const began = shown[0]?.at ?? 0;
  for (const presence of all) presence.setStatus({ status: "busy", task: "change", load: undefined });
  await advance(60);
  const changes = shown.filter(({ task }) => task === "change");
  expect(changes.length).toBeGreaterThan(10);
  for (const { at, events } of changes) expect(events / ((at - began) / 1000)).toBeLessThanOrEqual(20);
  await Promise.all(all.map((presence) => presence.close()));
});
