// The plan with the tightest limits, in a project where nothing else is said: of what the hubs do at their own pace nothing is refused.
import { expect, test } from "vitest";
import type { RealtimeFederationHub } from "./realtime-hub.ts";
import { until, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench({ limits: "free" });

const statusOf = (hub: RealtimeFederationHub, agentId: string): string | undefined =>
  hub.getActiveAgents().find(({ agent_id }) => agent_id === agentId)?.status;

test("many who change quickly under the Free plan are refused nothing, and what each said last is seen", async () => {
  const trouble: string[] = [];
  const plan = { planPresencePerSecond: 20, planMessagesPerSecond: 100 };
  const hubs: RealtimeFederationHub[] = [];
  for (const id of ["a", "b", "c", "d", "e", "f"]) {
    const hub = bench.make(id, plan);
    hub.on("state", ({ to }) => to.name === "reconnecting" && trouble.push(`${id}: ${to.cause?.message}`));
    hub.on("error", ({ error, during }) => trouble.push(`${id}: ${during}: ${error.message}`));
    await hub.initialize();
    hubs.push(hub);
  }
  const allShow = (status: string): Promise<void[]> =>
    Promise.all(
      hubs.map((hub) =>
        until(hub, ["agent:join", "agent:update"], () =>
          hubs.every(({ agentId }) => statusOf(hub, agentId) === status),
        ),
      ),
    );
  // Without a pace these are more than 25 events a second in the five seconds after which the server first counts.
  for (const status of ["one", "two", "three"])
    await Promise.all(hubs.map((hub) => hub.updateStatus(status)));
  await allShow("three");
  await Promise.all(hubs.map((hub) => hub.updateStatus("last")));
  await allShow("last");
  expect(trouble).toEqual([]);
  const coalesced = await Promise.all(hubs.map(async (hub) => (await hub.getStats()).presence_coalesced));
  expect(Math.max(...coalesced)).toBeGreaterThan(0);
}, 60_000);
