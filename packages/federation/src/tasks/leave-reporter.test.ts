import { expect, test } from "vitest";
import { parsePresence, type AgentPresence } from "../presence/agent-presence.ts";
import type { RosterChange } from "../presence/roster.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { LeaveReporter } from "./leave-reporter.ts";

interface Call {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly answer: (value: unknown) => void;
  readonly fail: (error: Error) => void;
}

/** A reporter of agent "me" whose calls the test answers; its turn comes after `share` of half a second. */
function open(share = 0.5) {
  const clock = new TestClock();
  const calls: Call[] = [];
  const logged: string[] = [];
  const reporter = new LeaveReporter({
    agentId: "me",
    clock,
    random: () => share,
    log: (_level, message) => logged.push(message),
    call: (name, args) => new Promise((answer, fail) => calls.push({ name, args, answer, fail })),
  });
  const next = (): Call => {
    const call = calls.shift();
    if (call === undefined) throw new Error("nothing was called");
    return call;
  };
  return { clock, calls, logged, reporter, next };
}

function processes(agentId: string, instances: readonly string[]): AgentPresence[] {
  return instances.map((instance_id) => {
    const presence = parsePresence({ agent_id: agentId, tenant_id: "t", instance_id });
    if (presence === undefined) throw new Error("not a presence");
    return presence;
  });
}

const here = (agentId: string, ...instances: string[]): RosterChange => ({
  type: "update",
  agentId,
  presences: processes(agentId, instances),
  reason: undefined,
});

const left = (agentId: string, reason: string, ...instances: string[]): RosterChange => ({
  type: "leave",
  agentId,
  presences: processes(agentId, instances),
  reason,
});

test("a process that vanished is reported when this agent's turn has come, and swept when its leases have ended", async () => {
  const { clock, calls, next, reporter } = open();
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "gone", "1"));
  await clock.advance(249);
  expect(calls).toEqual([]);
  await clock.advance(1);
  const report = next();
  expect([report.name, report.args]).toEqual(["report_agent_gone", { agent: "ann", instance: "1" }]);
  report.answer(2);
  await clock.advance(1_599);
  expect(calls).toEqual([]);
  await clock.advance(1);
  expect(next().name).toBe("sweep");
  expect(clock.pending).toBe(0);
});

test("a process that held nothing leaves nothing to sweep", async () => {
  const { clock, next, reporter } = open();
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "timeout", "1"));
  await clock.advance(250);
  next().answer(0);
  await clock.advance(0);
  expect(clock.pending).toBe(0);
});

test("of an agent's two processes the one that vanished is reported, and the other not", async () => {
  const { clock, calls, next, reporter } = open();
  reporter.changed(here("ann", "1", "2"));
  reporter.changed(here("ann", "2"));
  await clock.advance(250);
  expect(next().args).toEqual({ agent: "ann", instance: "1" });
  expect(calls).toEqual([]);
});

test("who says good-bye has given back what it held, and one's own processes are nobody's to report", async () => {
  const { clock, calls, reporter } = open();
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "shutdown", "1"));
  reporter.changed(here("me", "1", "2"));
  reporter.changed(here("me", "2"));
  await clock.advance(10_000);
  expect([calls, clock.pending]).toEqual([[], 0]);
});

test("of many who saw it the first one reports: the others heard that it was said", async () => {
  const { clock, calls, reporter } = open(0.9);
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "gone", "1"));
  await clock.advance(100);
  reporter.heard({ agent: "ann", instance: "1" });
  await clock.advance(10_000);
  expect([calls, clock.pending]).toEqual([[], 0]);
});

test("what is no report of that process takes no turn away", async () => {
  const { clock, next, reporter } = open();
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "gone", "1"));
  for (const other of [undefined, "1", {}, { instance: 1 }, { instance: "2" }]) reporter.heard(other);
  await clock.advance(250);
  expect(next().args).toEqual({ agent: "ann", instance: "1" });
});

test("a process that is back before anybody's turn is not reported", async () => {
  const { clock, calls, reporter } = open();
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "gone", "1"));
  await clock.advance(100);
  reporter.changed(here("ann", "1"));
  await clock.advance(10_000);
  expect([calls, clock.pending]).toEqual([[], 0]);
});

test("a report that fails is noted and nothing else: leases end at their normal end", async () => {
  const { clock, logged, next, reporter } = open();
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "gone", "1"));
  await clock.advance(250);
  next().fail(new Error("offline"));
  await clock.advance(10_000);
  expect(logged).toEqual(["an agent's leaving could not be reported"]);
  expect(clock.pending).toBe(0);
});

test("a failed sweep is noted", async () => {
  const { clock, logged, next, reporter } = open(0);
  reporter.changed(here("ann", "1"));
  reporter.changed(left("ann", "gone", "1"));
  await clock.advance(0);
  next().answer(1);
  await clock.advance(1_600);
  next().fail(new Error("offline"));
  await clock.advance(0);
  expect(logged).toHaveLength(1);
});

test("closing takes back what waits, also where a report is under way", async () => {
  const { clock, next, calls, reporter } = open();
  for (const agent of ["ann", "bob", "cid"]) reporter.changed(here(agent, "1"));
  reporter.changed(left("ann", "gone", "1"));
  await clock.advance(250);
  next().answer(1); // ann's sweep waits
  await clock.advance(0);
  reporter.changed(left("bob", "gone", "1"));
  await clock.advance(250);
  const bob = next(); // bob's report is under way
  reporter.changed(left("cid", "gone", "1")); // cid's waits
  reporter.close();
  bob.answer(1);
  await clock.advance(10_000);
  expect([calls, clock.pending]).toEqual([[], 0]);
});
