// The public door: every exported name, written out.
export { createRealtimeHub, RealtimeFederationHub } from "./realtime-hub.ts";
export type { HubStats, StatusOptions } from "./realtime-hub.ts";
export type { HubListenOptions } from "./hub/hub-core.ts";
export type { BroadcastOptions, HelpAsked, RequestOptions, SendMessageOptions } from "./hub/messaging-hub.ts";
export type { HubOptions, RealtimeConfig } from "./config/hub-options.ts";
export type { AgentEvent, AgentLeaveEvent, HubEvents } from "./hub/hub-events.ts";
export type { HubState } from "./hub/hub-state.ts";
export type { SpanStart, Tracing } from "./runtime/tracing.ts";

export type { CoordinationMessage, ReceivedMessage } from "./messaging/message.ts";
export type { ListMessagesOptions, WaitingOptions } from "./messaging/correspondence.ts";
export type { MessageReceipt, MessageState, StoredMessage } from "./messaging/receipt.ts";
// With a star, because only then can a caller add its own types to FederationMessageTypes. The file holds nothing but
// FederationMessageTypes, HelpRequest, SharedKnowledge, StatusUpdate and TaskComplete.
export type * from "./message-types.ts";
export type { MemoryEvent } from "./messaging/memory-event.ts";
export type { SendOptions } from "./messaging/outbox.ts";
export type { AgentPresence, AgentStatus } from "./presence/agent-presence.ts";
export type {
  AssignedTask,
  FederationTask,
  TaskAssignment,
  TaskFacts,
  TaskPriority,
  TaskStatus,
} from "./tasks/task.ts";
export type { ListTasksOptions } from "./hub/task-hub.ts";
export { ClaimedTask, TaskFailure } from "./tasks/claimed-task.ts";
export type { TaskHandler } from "./tasks/task-run.ts";
export type { WorkOptions } from "./tasks/task-worker.ts";
export type { TaskEvent, TaskEventName } from "./tasks/task-event.ts";
export { defineTask } from "./tasks/define-task.ts";
export type { KindAssignment, StandardSchema, TaskKind } from "./tasks/define-task.ts";
export type { SelectOptions, SelectStrategy } from "./tasks/select-agent.ts";
export { HeldLock } from "./locks/lock-keeper.ts";
export type { LockEvent, LockHolder, LockOptions } from "./locks/lock-keeper.ts";

export { createSupabaseAdapter, SupabaseFederationAdapter } from "./supabase-adapter.ts";
export type {
  AdapterStats,
  CallerOptions,
  DeleteFilter,
  ExportMemoriesOptions,
  ImportMemoriesOptions,
  TransferOptions,
} from "./supabase-adapter.ts";
export type { SearchAnswer, SearchMode, ShutdownOptions } from "./memory/backends/memory-backend.ts";
export type { SearchOptions } from "./memory/search-options.ts";
export type { BulkStoreOptions, StoreOptions, StoreProgress } from "./memory/store-options.ts";
export type { AdapterEvents, AdapterSyncState, RefusedMemory } from "./memory/sync-control.ts";
export type { Coverage, SyncFilter } from "./memory/sync/coverage.ts";
export type { SyncState, SyncSummary } from "./memory/sync/sync-state.ts";
export { salvageLocalStore } from "./memory/backends/load-node-file.ts";
export type { SalvageOptions } from "./memory/backends/load-node-file.ts";
export type { Salvage, SalvageReport } from "./memory/local/salvage.node.ts";
export type { Durability } from "./memory/local/local-store.ts";
export type { ExportOptions } from "./memory/transfer/export-memories.ts";
export type { ExportFileOptions, ExportFileResult } from "./memory/transfer/files.node.ts";
export type {
  DamagedLine,
  ImportOptions,
  ImportProgress,
  ImportResult,
} from "./memory/transfer/import-memories.ts";
export type {
  AgentDbProblem,
  ImportAgentDbOptions,
  ImportAgentDbProgress,
  ImportAgentDbResult,
} from "./memory/transfer/import-agentdb.node.ts";
export { createHashingEmbedder } from "./memory/embed/hashing-embedder.ts";
export type { HashingEmbedderOptions } from "./memory/embed/hashing-embedder.ts";
export { createEmbedder } from "./memory/embed/create-embedder.ts";
export type { EmbedderOptions } from "./memory/embed/create-embedder.ts";
export { createHttpEmbedder } from "./memory/embed/create-http-embedder.ts";
export type { HttpEmbedderOptions } from "./memory/embed/create-http-embedder.ts";
export type { Embed, Embedder, EmbedOptions } from "./memory/embed/embed.ts";
export type { AdapterOptions, SupabaseConfig } from "./memory/adapter-options.ts";
export type { AgentSession } from "./memory/agent-session.ts";
export type { MemoryChange } from "./memory/memory-subscription.ts";
export type { AgentMemory, FoundMemory, MemoryMatch, MemoryScope, StoredMemory } from "./memory/memory.ts";
export type { MemoryFilter } from "./memory/memory-row.ts";
export type { VectorBackend } from "./memory/vector-backend.ts";

export { deleteAgent, deleteTenant } from "./administration.ts";
export type { AdministrationOptions, DeletedRows } from "./administration.ts";
export { mintAgentToken } from "./tokens/mint-agent-token.ts";
export type { MintAgentTokenOptions } from "./tokens/mint-agent-token.ts";
export { agentSubject } from "./tokens/agent-subject.ts";
export type { AccessOptions, AccessTokenCallback } from "./config/access.ts";

export { FederationError, isFederationError } from "./runtime/errors.ts";
export type { FederationErrorCode } from "./runtime/errors.ts";
export type { ListenOptions, Listener } from "./runtime/emitter.ts";
export type { Log, LogLevel } from "./runtime/log.ts";
