import type { MessageReceipt } from "./messaging/receipt.ts";
import type { AgentStatus } from "./presence/agent-presence.ts";
import type { AssignedTask } from "./tasks/task.ts";

/** What a `task_complete` message carries. */
export interface TaskComplete {
  readonly task_id: string;
  readonly result: unknown;
  readonly completed_by: string;
  readonly [extra: string]: unknown;
}

/** What a `request_help` message carries. */
export interface HelpRequest {
  readonly problem: string;
  readonly context: unknown;
  readonly from: string;
  readonly [extra: string]: unknown;
}

/** What a `share_knowledge` message carries: the metadata's own keys lie beside the three. */
export interface SharedKnowledge {
  readonly knowledge: unknown;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly from: string;
  readonly [extra: string]: unknown;
}

/** What a `status_update` message carries. */
export interface StatusUpdate {
  readonly agent_id: string;
  readonly status: AgentStatus;
  readonly task?: string;
  /** From 0 to 1. */
  readonly load?: number;
  readonly [extra: string]: unknown;
}

/**
 * The types of messages and their payloads. Add your own by declaration merging, or pass them as a type parameter of the hub:
 *
 *     declare module "agent-federation" {
 *       interface FederationMessageTypes { review: { file: string } }
 *     }
 */
export interface FederationMessageTypes {
  task_assignment: AssignedTask;
  task_complete: TaskComplete;
  request_help: HelpRequest;
  share_knowledge: SharedKnowledge;
  status_update: StatusUpdate;
  /** How far a message got whose sender asked for it; it comes from the database, and `reply_to` is the message. */
  receipt: MessageReceipt;
}
