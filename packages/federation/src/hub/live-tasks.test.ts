import { expect, test } from "vitest";
import { resolveHubOptions } from "../config/hub-options.ts";
import { Emitter } from "../runtime/emitter.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { HubEvents } from "./hub-events.ts";
import { LiveTasks } from "./live-tasks.ts";

test("a worker claims when the heartbeat's answer names a task that nothing told of, once, what it says it can do", async () => {
  const clock = new TestClock();
  const claims: unknown[] = [];
  const options = resolveHubOptions(
    { agentId: "me", tenantId: "t" },
    { clock, random: () => 0.5, capabilities: ["review"] },
    { environment: {}, inBrowser: false },
  );
  const tasks = new LiveTasks({
    options,
    emitter: new Emitter<HubEvents>(() => {}),
    call: async (name, args) => {
      if (name === "next_tasks") claims.push(args["capabilities"]);
      return { tasks: [], refused: [] };
    },
    agents: () => 1_000, // who looks for lost announcements looks seldom
    onError: () => {},
  });
  const all = [tasks.work(() => null, {}), tasks.work(() => null, { capabilities: ["packing"] })];
  await clock.advance(0);
  expect(claims.splice(0)).toEqual([["review"], ["packing"]]);
  for (const [queue, many] of [
    [5, 2],
    [5, 0],
    [6, 2],
  ] as const) {
    tasks.position(queue);
    await clock.advance(30_000);
    expect(claims.splice(0)).toHaveLength(many);
  }
  await tasks.close();
  await Promise.all(all);
  expect(clock.pending).toBe(0);
});
