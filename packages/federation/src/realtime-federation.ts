export { createRealtimeHub, RealtimeFederationHub } from "./realtime-hub.ts";
export type { HubStats, StatusOptions } from "./realtime-hub.ts";
export type { HubListenOptions } from "./hub/hub-core.ts";
export type { BroadcastOptions } from "./hub/messaging-hub.ts";
export type { AccessTokenCallback } from "./config/access.ts";
export type { HubOptions, RealtimeConfig } from "./config/hub-options.ts";
export type { AgentEvent, AgentLeaveEvent, HubEvents } from "./hub/hub-events.ts";
export type { HubState } from "./hub/hub-state.ts";
export type { MemoryEvent } from "./messaging/memory-event.ts";
export type {
  FederationMessageTypes,
  HelpRequest,
  SharedKnowledge,
  StatusUpdate,
  TaskComplete,
} from "./message-types.ts";
export type { CoordinationMessage } from "./messaging/message.ts";
export type { SendOptions } from "./messaging/outbox.ts";
export type { AgentPresence, AgentStatus } from "./presence/agent-presence.ts";
export { FederationError, isFederationError } from "./runtime/errors.ts";
export type { FederationErrorCode } from "./runtime/errors.ts";
export type { FederationTask, TaskAssignment, TaskPriority, TaskStatus } from "./tasks/task.ts";
