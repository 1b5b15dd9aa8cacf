import { expect, test } from "vitest";
import type { AgentPresence } from "../presence/agent-presence.ts";
import { selectAgent, type SelectOptions } from "./select-agent.ts";

function here(agent_id: string, more: Partial<AgentPresence> = {}): AgentPresence {
  return { agent_id, status: "online", capabilities: [], ...more } as AgentPresence; // what is selected by
}
const select = (agents: readonly AgentPresence[], options: SelectOptions, last?: string, random = 0) =>
  selectAgent(agents, options, { last, random: () => random })?.agent_id;

test("the least busy is who said the smallest load, or by status; among equals anybody", () => {
  const team = [here("a", { load: 0.5 }), here("b", { status: "busy" }), here("c", { load: 0.2 })];
  expect(select(team, {})).toBe("c");
  expect(select([here("a", { status: "idle" }), here("b")], {})).toBe("b");
  expect([0, 0.5, 0.99].map((random) => select([here("a"), here("b")], {}, undefined, random))).toEqual([
    "a",
    "b",
    "b",
  ]);
});

test("a round goes through all by name and begins again, also when the last one has left", () => {
  const team = [here("c"), here("a"), here("b")];
  const round = { strategy: "round-robin" } as const;
  expect([undefined, "a", "b", "c"].map((last) => select(team, round, last))).toEqual(["a", "b", "c", "a"]);
  expect(select([here("a"), here("c")], round, "b")).toBe("c");
});

test("only who is here and able is selected; nobody is undefined", () => {
  const team = [here("a", { status: "offline", capabilities: ["review"] }), here("b")];
  expect(select(team, { strategy: "random" })).toBe("b");
  expect(select(team, { capability: "review" })).toBeUndefined();
  expect(() => select(team, { strategy: "best" as "random" })).toThrow(/least-busy, round-robin or random/);
});
