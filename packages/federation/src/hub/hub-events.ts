import type { HubState } from "./hub-state.ts";
import type { FederationMessageTypes } from "../message-types.ts";
import type { ReceivedMessage } from "../messaging/message.ts";
import type { MemoryEvent } from "../messaging/memory-event.ts";
import type { LockEvent } from "../locks/lock-keeper.ts";
import type { TaskEvent, TaskEventName } from "../tasks/task-event.ts";
import type { AgentPresence } from "../presence/agent-presence.ts";

/** An agent and its processes, newest last. */
export interface AgentEvent {
  readonly agent_id: string;
  readonly presences: readonly AgentPresence[];
}

export interface AgentLeaveEvent extends AgentEvent {
  /** `shutdown` when it said good-bye, `gone` when it was lost, `timeout` when its session was silent for too long, or what its session was closed with. */
  readonly reason: string;
}

interface CommonEvents {
  /** An agent came: after `initialize()` also everybody who is there already, oneself last. */
  "agent:join": AgentEvent;
  /** An agent left, and did not come back within the grace time. */
  "agent:leave": AgentLeaveEvent;
  /** An agent's status, task or processes changed. */
  "agent:update": AgentEvent;
  /** The list of agents is up to date. */
  "agents:sync": { readonly agents: readonly AgentPresence[] };
  "memory:added": MemoryEvent;
  "memory:updated": MemoryEvent;
  "memory:deleted": MemoryEvent;
  /** Somebody let a named lock go, or took one. */
  "lock:freed": LockEvent;
  "lock:taken": LockEvent;
  /** Every message, before the event that carries its type. */
  "message:received": ReceivedMessage;
  /** Every change of state, in order. */
  state: { readonly from: HubState; readonly to: HubState };
  /** What failed in the background, and every listener that threw or rejected. Without a listener it is logged. */
  error: { readonly error: Error; readonly during: string };
}

type MessageEvents<Types> = {
  [Type in keyof Types & string as `message:${Type}`]: ReceivedMessage<Type, Types[Type]>;
};

/** What a hub tells. `Own` adds message types to those of FederationMessageTypes. */
export type HubEvents<Own extends object = object> = CommonEvents &
  /** How every task of the tenant goes on. */
  { [Name in TaskEventName]: TaskEvent } & MessageEvents<FederationMessageTypes> &
  MessageEvents<Own> & {
    /** A message of any other type. */
    [event: `message:${string}`]: ReceivedMessage;
  };
