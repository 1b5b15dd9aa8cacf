import { expect, test } from "vitest";
import { nativeUrl } from "../../../test-support/database.ts";
import { next, until, useHubBench } from "./testing/hub-bench.node.ts";
import type { RealtimeFederationHub } from "./realtime-hub.ts";

const bench = useHubBench();
const manyAgents = 200;
const atOnce = 10;

// It is the local Supabase that two hundred sockets are too many or not too many for, whatever its database.
test.skipIf(nativeUrl !== undefined)(
  "200 agents in one tenant each see 200, and none is cut off",
  async ({ onTestFailed }) => {
    let stage = "joining";
    onTestFailed(() => {
      const seen = hubs.map((hub) => hub.getActiveAgents().length);
      const facts = {
        stage,
        joined: hubs.length,
        fewestSeen: Math.min(...seen),
        trouble: trouble.slice(0, 5),
      };
      process.stderr.write(`${JSON.stringify(facts)}\n`);
    });
    const wanted = Array.from({ length: manyAgents }, (_, index) => `agent-${index}`);
    const hubs: RealtimeFederationHub[] = [];
    const trouble: string[] = [];
    const queue = [...wanted];
    const open = async (): Promise<void> => {
      for (let agentId = queue.shift(); agentId !== undefined; agentId = queue.shift()) {
        const hub = bench.make(agentId, { initializeTimeoutMs: 120_000, requestTimeoutMs: 60_000 });
        hub.on("agent:leave", ({ agent_id, reason }) =>
          trouble.push(`${hub.agentId} took ${agent_id} for ${reason}`),
        );
        hub.on(
          "state",
          ({ to }) => to.name === "reconnecting" && trouble.push(`${hub.agentId}: ${to.cause?.message}`),
        );
        hub.on("error", ({ error, during }) => trouble.push(`${during}: ${error.message}`));
        await hub.initialize();
        hubs.push(hub);
      }
    };
    await Promise.all(Array.from({ length: atOnce }, open));
    stage = "seeing everybody";
    await Promise.all(
      hubs.map((hub) => until(hub, ["agent:join"], () => hub.getActiveAgents().length === manyAgents)),
    );
    const sorted = wanted.toSorted();
    for (const hub of hubs)
      expect(
        hub
          .getActiveAgents()
          .map((agent) => agent.agent_id)
          .toSorted(),
      ).toEqual(sorted);
    expect(trouble).toEqual([]);
    const stats = await Promise.all(hubs.map((hub) => hub.getStats()));
    expect(new Set(stats.map(({ roster }) => roster))).toEqual(new Set(["sessions"]));

    stage = "seeing a change";
    // What one of them says of itself reaches every list with a digest; npm run proof:presence asks how soon, with a thousand.
    const busy = hubs[manyAgents / 2];
    const shown = hubs.map((hub) =>
      until(hub, ["agent:update"], () =>
        hub
          .getActiveAgents()
          .some(
            (agent) =>
              agent.agent_id === busy?.agentId && agent.status === "busy" && agent.task === "Reading",
          ),
      ),
    );
    await busy?.updateStatus("busy", "Reading");
    await Promise.all(shown);

    stage = "seeing one leave";
    // One that is not in presence is in the list all the same, and leaves it.
    const [first, last] = [hubs[0], hubs.at(-1)];
    if (first === undefined || last === undefined) throw new Error("no hubs");
    trouble.length = 0;
    const left = next(first, "agent:leave");
    await last.shutdown();
    expect(await left).toMatchObject({ agent_id: last.agentId, reason: "shutdown" });
    expect(first.getActiveAgents()).toHaveLength(manyAgents - 1);
  },
  240_000,
);

test("a room that passes its threshold still lists everybody, and so does one that shrinks again", async () => {
  const options = { rosterThreshold: 3, presenceHeartbeat: 200 };
  const hubs: RealtimeFederationHub[] = [];
  for (const id of ["a", "b", "c", "d", "e"]) hubs.push(await bench.open(id, options));
  await Promise.all(hubs.map((hub) => until(hub, ["agent:join"], () => hub.getActiveAgents().length === 5)));
  const [a, b, c, d, e] = hubs;
  if (a === undefined || b === undefined || c === undefined || d === undefined || e === undefined)
    throw new Error("no hubs");
  expect((await e.getStats()).roster).toBe("sessions");
  // The three that were seen by presence go; the two that were not begin to be.
  await Promise.all([a.shutdown(), b.shutdown(), c.shutdown()]);
  await Promise.all(
    [d, e].map((hub) => until(hub, ["agent:leave"], () => hub.getActiveAgents().length === 2)),
  );
  const late = await bench.open("late", { rosterThreshold: 100 });
  await until(late, ["agent:join"], () => late.getActiveAgents().length === 3);
  expect(
    late
      .getActiveAgents()
      .map((agent) => agent.agent_id)
      .toSorted(),
  ).toEqual(["d", "e", "late"]);
  expect((await late.getStats()).roster).toBe("presence");
  // So near to the threshold a newcomer does not rely on presence, which some may not have begun.
  const newcomer = await bench.open("newcomer", { rosterThreshold: 4 });
  expect((await newcomer.getStats()).roster).toBe("sessions");
  await until(newcomer, ["agent:join"], () => newcomer.getActiveAgents().length === 4);
});
