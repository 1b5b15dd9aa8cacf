import fc from "fast-check";
import { expect, test } from "vitest";
import { parsePresence, presenceKey, type AgentPresence } from "./agent-presence.ts";
import { nextRosterMode } from "./roster-mode.ts";
import { Roster, type RosterChange } from "./roster.ts";
import { trackLimit, trackWaitMs, withTrackCall } from "./track-limit.ts";

const graceMs = 1500;
const make = (): Roster => new Roster({ graceMs, selfId: "self" });

function presence(
  agentId: string,
  instance = `${agentId}-1`,
  status = "online",
  heartbeat = "2026-01-01T00:00:00Z",
): AgentPresence {
  const said = {
    agent_id: agentId,
    tenant_id: "t",
    instance_id: instance,
    status,
    last_heartbeat: heartbeat,
  };
  const parsed = parsePresence(said);
  if (parsed === undefined) throw new Error("the test's own presence does not parse");
  return parsed;
}

const see = (ref: string, agentId: string, status?: string): { ref: string; presence: AgentPresence } => ({
  ref,
  presence: presence(agentId, undefined, status),
});
const names = (changes: readonly RosterChange[]): string[] =>
  changes.map(({ type, agentId }) => `${type} ${agentId}`);

test("an agent joins when it is seen, changes when it says something else, and leaves after the grace time", () => {
  const roster = make();
  expect(names(roster.sawPresence([see("1", "a")], 0))).toEqual(["join a"]);
  expect(names(roster.sawPresence([see("2", "a", "busy")], 10))).toEqual(["update a"]);
  expect(roster.lostPresence([{ agentId: "a", ref: "1" }], 10)).toEqual([]); // the other half of the update
  expect(roster.lostPresence([{ agentId: "a", ref: "2" }], 100)).toEqual([]);
  expect(roster.agents().map((agent) => agent.status)).toEqual(["busy"]);
  expect(roster.nextDueMs).toBe(100 + graceMs);
  expect(roster.due(100 + graceMs - 1)).toEqual([]);
  expect(roster.due(100 + graceMs)).toMatchObject([{ type: "leave", agentId: "a", reason: "gone" }]);
  expect(roster.agents()).toEqual([]);
});

test("whoever drops and returns within the grace time neither left nor joined", () => {
  const roster = make();
  roster.sawPresence([see("1", "a")], 0);
  roster.lostPresence([{ agentId: "a", ref: "1" }], 100);
  expect(roster.sawPresence([see("2", "a")], 100 + graceMs - 1)).toEqual([]);
  expect(roster.due(10_000)).toEqual([]);
});

test("an agent with two processes is one agent, the newest process last, and leaves with the second", () => {
  const roster = make();
  roster.sawPresence([{ ref: "1", presence: presence("a", "old") }], 0);
  const [change] = roster.sawPresence([{ ref: "2", presence: presence("a", "new") }], 1);
  expect(change?.type).toBe("update");
  expect(change?.presences.map((each) => each.instance_id)).toEqual(["old", "new"]);
  expect(roster.agents()).toHaveLength(1);
  expect(names(roster.lostPresence([{ agentId: "a", ref: "1" }], 2))).toEqual(["update a"]);
  roster.lostPresence([{ agentId: "a", ref: "2" }], 3);
  expect(names(roster.due(3 + graceMs))).toEqual(["leave a"]);
});

test("an agent that says good-bye leaves at once", () => {
  const roster = make();
  roster.sawPresence([see("1", "a")], 0);
  expect(roster.endedSession(presence("a"), "shutdown", 5)).toMatchObject([
    { type: "leave", reason: "shutdown" },
  ]);
  expect(roster.lostPresence([{ agentId: "a", ref: "1" }], 6)).toEqual([]);
  expect(roster.nextDueMs).toBeUndefined();
});

test("oneself never leaves and comes last", () => {
  const roster = make();
  roster.sawPresence([see("1", "self"), see("2", "z")], 0);
  roster.syncPresence([], 10);
  expect(names(roster.due(99_999))).toEqual(["leave z"]);
  expect(roster.agents().map((agent) => agent.agent_id)).toEqual(["self"]);
  roster.sawPresence([see("3", "zz")], 20);
  expect(roster.members().map((member) => member.agentId)).toEqual(["zz", "self"]);
});

test("sessions count only in a large room, and not those of processes whose presence ended", () => {
  const roster = make();
  const at = (seconds: number): string => new Date(seconds * 1000).toISOString();
  roster.sawPresence([{ ref: "1", presence: presence("killed") }], 0);
  roster.syncSessions([presence("killed"), presence("untracked")], 0, 0);
  expect(roster.agents().map((agent) => agent.agent_id)).toEqual(["killed"]);
  expect(names(roster.countSessions(true, 0))).toEqual(["join untracked"]);
  roster.lostPresence([{ agentId: "killed", ref: "1" }], 60_000);
  expect(names(roster.due(70_000))).toEqual(["leave killed"]);
  // Its row is still there, for as long as a session may be silent.
  expect(
    roster.syncSessions(
      [presence("killed", undefined, "online", at(50)), presence("untracked")],
      80_000,
      80_000,
    ),
  ).toEqual([]);
  // It beats again: it was only the socket.
  expect(
    names(
      roster.syncSessions(
        [presence("killed", undefined, "online", at(90)), presence("untracked")],
        91_000,
        91_000,
      ),
    ),
  ).toEqual(["join killed"]);
  roster.countSessions(false, 92_000);
  expect(names(roster.due(92_000 + graceMs)).toSorted()).toEqual(["leave killed", "leave untracked"]);
});

test("in a large room a process is what its session says, whatever presence said last", () => {
  const roster = make();
  roster.sawPresence([see("1", "a")], 0);
  roster.syncSessions([presence("a", undefined, "busy")], 10, 11);
  expect(roster.agents()[0]?.status).toBe("online");
  expect(names(roster.countSessions(true, 20))).toEqual(["update a"]);
  expect(roster.agents()[0]?.status).toBe("busy");
  expect(roster.sawPresence([see("2", "a", "idle")], 30)).toEqual([]); // its digest follows
  expect(names(roster.sawSession(presence("a", undefined, "idle"), 40))).toEqual(["update a"]);
  // Its socket drops: it is gone although its session is open.
  roster.lostPresence([{ agentId: "a", ref: "1" }], 50);
  roster.lostPresence([{ agentId: "a", ref: "2" }], 50);
  expect(names(roster.due(50 + graceMs))).toEqual(["leave a"]);
});

test("the answer to a question about the sessions is not newer than what was heard meanwhile", () => {
  const roster = make();
  roster.countSessions(true, 0);
  roster.sawSession(presence("early"), 10);
  roster.sawSession(presence("ended"), 10);
  const askedAt = 20;
  roster.sawSession(presence("new"), 30);
  roster.endedSession(presence("ended"), "shutdown", 30);
  expect(
    roster.syncSessions([presence("ended", undefined, "online", new Date(5).toISOString())], askedAt, 40),
  ).toEqual([]);
  expect(names(roster.due(99_999))).toEqual(["leave early"]);
  expect(roster.agents().map((agent) => agent.agent_id)).toEqual(["new"]);
});

test("a presence that no session stands behind is nobody's, until there is one", () => {
  const roster = make();
  roster.sawPresence([see("1", "real"), see("2", "forged")], 10);
  roster.sawPresence([{ ref: "3", presence: presence("real", "forged-instance", "busy") }], 10);
  expect(roster.instances).toBe(3);
  expect(names(roster.syncSessions([presence("real")], 10, 11))).toEqual([]); // asked when they were just seen
  expect(names(roster.syncSessions([presence("real")], 20, 21))).toEqual(["update real"]);
  expect(roster.agents().find((agent) => agent.agent_id === "real")?.status).toBe("online");
  expect(names(roster.due(21 + graceMs))).toEqual(["leave forged"]);
  expect(roster.instances).toBe(1);
  roster.sawSession(presence("forged"), 5_000);
  expect(roster.instances).toBe(2);
  expect(names(roster.syncPresence([see("1", "real"), see("2", "forged")], 6_000))).toEqual(["join forged"]);
});

type Step = {
  readonly type: "see" | "lose" | "wait";
  readonly agent: number;
  readonly ref: number;
  readonly ms: number;
};
const anyStep: fc.Arbitrary<Step> = fc.record({
  type: fc.constantFrom("see" as const, "lose" as const, "wait" as const),
  agent: fc.nat(3),
  ref: fc.nat(2),
  ms: fc.nat(2000),
});

test("whatever happens, joins and leaves alternate, and in the end exactly those present are listed", () => {
  fc.assert(
    fc.property(fc.array(anyStep, { maxLength: 60 }), (steps) => {
      const roster = make();
      const model = new Map<string, string>();
      const told = new Set<string>();
      let now = 0;
      const hear = (changes: readonly RosterChange[]): void => {
        for (const { type, agentId } of changes) {
          expect(told.has(agentId)).toBe(type !== "join");
          if (type === "join") told.add(agentId);
          if (type === "leave") told.delete(agentId);
        }
      };
      for (const { type, agent, ref, ms } of steps) {
        const [agentId, key] = [`a${agent}`, `${agent}.${ref}`];
        if (type === "wait") now += ms;
        hear(roster.due(now));
        if (type === "see") {
          model.set(key, agentId);
          const sighting = { ref: key, presence: presence(agentId, key) };
          hear(roster.sawPresence([sighting], now));
          expect(roster.sawPresence([sighting], now).filter((change) => change.type !== "update")).toEqual(
            [],
          );
        }
        if (type === "lose") {
          model.delete(key);
          hear(roster.lostPresence([{ agentId, ref: key }], now));
        }
      }
      hear(roster.due(now + graceMs + 1));
      const expected = [...new Set(model.values())].toSorted();
      expect(
        roster
          .agents()
          .map((each) => each.agent_id)
          .toSorted(),
      ).toEqual(expected);
      expect([...told].toSorted()).toEqual(expected);
    }),
  );
});

test("presence must name an agent under that agent's own key", () => {
  const said = {
    agent_id: "a",
    tenant_id: "t",
    status: "busy",
    task: null,
    metadata: "x",
    capabilities: ["y", 1],
  };
  expect(parsePresence(said, presenceKey("a"))).toMatchObject({
    status: "busy",
    task: undefined,
    metadata: {},
    capabilities: ["y"],
  });
  expect(parsePresence(said, presenceKey("b"))).toBeUndefined();
  fc.assert(
    fc.property(fc.anything(), (anything) => {
      const parsed = parsePresence(anything);
      if (parsed !== undefined) expect(typeof parsed.agent_id).toBe("string");
    }),
  );
});

test("presence keys never collide with what a client treats specially", () => {
  for (const id of ["ids", "__proto__", "constructor"]) expect(presenceKey(id)).toBe(`agent:${id}`);
});

test("never more presence calls in any window than the server allows, the first at once, the last always made", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(20_000), { minLength: 1, maxLength: 40 }), (pauses) => {
      let now = 0;
      let calls: number[] = [];
      const made: number[] = [];
      let dueAt: number | undefined;
      const make = (): void => {
        calls = withTrackCall(calls, now);
        made.push(now);
        dueAt = undefined;
      };
      for (const pause of pauses) {
        const next = now + pause;
        if (dueAt !== undefined && dueAt <= next) {
          now = dueAt;
          make();
        }
        now = next;
        if (dueAt !== undefined) continue; // coalesced with the one that waits
        const wait = trackWaitMs(calls, now);
        if (wait === 0) make();
        else dueAt = now + wait;
      }
      const last = dueAt ?? made.at(-1) ?? 0;
      expect(last - now).toBeLessThanOrEqual(trackLimit.windowMs + 1);
      for (const at of made) {
        expect(
          made.filter((other) => other >= at && other - at < trackLimit.windowMs).length,
        ).toBeLessThanOrEqual(trackLimit.calls);
      }
    }),
  );
  expect(trackWaitMs([], 0)).toBe(0);
});

test("a room grows past its threshold and shrinks back only well below it", () => {
  expect(nextRosterMode("presence", 100, 100)).toBe("presence");
  expect(nextRosterMode("presence", 101, 100)).toBe("sessions");
  expect(nextRosterMode("sessions", 90, 100)).toBe("sessions");
  expect(nextRosterMode("sessions", 80, 100)).toBe("presence");
});
