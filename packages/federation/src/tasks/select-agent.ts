import { FederationError } from "../runtime/errors.ts";
import type { AgentPresence } from "../presence/agent-presence.ts";

export type SelectStrategy = "least-busy" | "round-robin" | "random";

export interface SelectOptions {
  /** Only agents that said they have it. */
  readonly capability?: string | undefined;
  /** Default: least-busy. */
  readonly strategy?: SelectStrategy | undefined;
}

export interface SelectState {
  /** The agent that a round was given to last. */
  readonly last: string | undefined;
  readonly random: () => number;
}

/**
 * The agent that is to do something, of those that are here and not offline; undefined when there is none. Least busy: by load where it
 * was said, else by status (online before idle, both before busy); among equals a random one.
 */
export function selectAgent(
  agents: readonly AgentPresence[],
  { capability, strategy = "least-busy" }: SelectOptions,
  { last, random }: SelectState,
): AgentPresence | undefined {
  const able = agents
    .filter(({ status }) => status !== "offline")
    .filter(({ capabilities }) => capability === undefined || capabilities.includes(capability))
    .toSorted((a, b) => (a.agent_id < b.agent_id ? -1 : 1));
  switch (strategy) {
    case "random":
      return anyOf(able, random);
    case "round-robin":
      return able.find(({ agent_id }) => last !== undefined && agent_id > last) ?? able[0];
    case "least-busy": {
      const least = Math.min(...able.map(busyness));
      return anyOf(
        able.filter((agent) => busyness(agent) === least),
        random,
      );
    }
    default:
      throw new FederationError(
        "invalid_argument",
        `selectAgent strategy: expected least-busy, round-robin or random, got ${String(strategy)}`,
      );
  }
}

function anyOf<T>(items: readonly T[], random: () => number): T | undefined {
  return items[Math.floor(random() * items.length)];
}

/** From 0 to 1. */
function busyness({ load, status }: AgentPresence): number {
  return load ?? (status === "busy" ? 1 : status === "idle" ? 0.01 : 0);
}
