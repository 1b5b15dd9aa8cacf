import type { HubOptions } from "./config/hub-options.ts";
import type { HubState } from "./hub/hub-state.ts";
import { TaskHub } from "./hub/task-hub.ts";
import type { AgentPresence, AgentStatus } from "./presence/agent-presence.ts";
import { FederationError } from "./runtime/errors.ts";

export interface HubStats {
  readonly tenant_id: string;
  readonly agent_id: string;
  readonly instance_id: string;
  readonly session_id: string;
  readonly state: HubState["name"];
  readonly active_agents: number;
  readonly agents: readonly AgentPresence[];
  /** The topics that are joined. */
  readonly channels: readonly string[];
  readonly heartbeat_interval: number;
  readonly memory_sync: boolean;
  readonly broadcast_latency: "low" | "high";
  /** Where the list of agents comes from at the moment. */
  readonly roster: "presence" | "sessions";
  readonly messages_received: number;
  /** Changes of this agent that others saw late, as part of a later one, because presence calls are limited. */
  readonly presence_coalesced: number;
  /** Direct messages that nobody has listened for yet. */
  readonly messages_waiting: number;
  readonly timestamp: string;
}

export interface StatusOptions {
  /** From 0, idle, to 1. Left out, it stays as it was. */
  readonly load?: number | undefined;
}

/**
 * A hub for `agentId` in `tenantId`, not connected yet: call `initialize()`. What the options leave out comes from the environment.
 * Throws FederationError "invalid_argument" on a bad id or option.
 */
export function createRealtimeHub<Own extends object = object>(
  agentId: string,
  tenantId = "default",
  options: HubOptions = {},
): RealtimeFederationHub<Own> {
  return new RealtimeFederationHub<Own>(options, agentId, tenantId);
}

/**
 * One agent's place in its tenant: who else is here, messages, tasks, and news of memories. Use it once: `initialize()`, then anything
 * else, then `shutdown()`. `Own` adds message types to those of FederationMessageTypes.
 */
export class RealtimeFederationHub<Own extends object = object> extends TaskHub<Own> {
  /** Everybody in the tenant, oneself last; for an agent with several processes the newest one. */
  getActiveAgents(): AgentPresence[] {
    return this.live?.presence.roster.agents() ?? [];
  }

  async getStats(): Promise<HubStats> {
    const { options, agents } = { options: this.options, agents: this.getActiveAgents() };
    const live = this.live;
    return {
      tenant_id: this.tenantId,
      agent_id: this.agentId,
      instance_id: options.instanceId,
      session_id: options.sessionId,
      state: this.state.name,
      active_agents: agents.length,
      agents,
      channels: (live?.channels ?? [])
        .filter((channel) => channel.joined !== undefined)
        .map((channel) => channel.topic),
      heartbeat_interval: options.heartbeatMs,
      memory_sync: options.memorySync,
      broadcast_latency: options.broadcastLatency,
      roster: live?.presence.mode ?? "presence",
      presence_coalesced: live?.presence.coalesced ?? 0,
      messages_received: live?.messaging.handlers.received ?? 0,
      messages_waiting: live?.messaging.inbox.waiting ?? 0,
      timestamp: new Date(options.clock.now()).toISOString(),
    };
  }

  /** Says what this agent is doing, and how busy it is (0 to 1): in its session, in presence, and as a `status_update` to everybody. */
  async updateStatus(status: AgentStatus, task?: string, { load }: StatusOptions = {}): Promise<void> {
    const live = this.ready();
    if (typeof status !== "string" || status === "" || status.length > 64) {
      throw new FederationError("invalid_argument", "updateStatus: expected a status of 1 to 64 characters");
    }
    if (load !== undefined && !(load >= 0 && load <= 1)) {
      throw new FederationError(
        "invalid_argument",
        `updateStatus load: expected a number from 0 to 1, got ${load}`,
      );
    }
    await live.session.update({ status, task, load });
    live.presence.setStatus({ status, task, load });
    await this.broadcast("status_update", {
      agent_id: this.agentId,
      status,
      ...(task === undefined ? {} : { task }),
      ...(load === undefined ? {} : { load }),
    });
  }
}
