import { isRecord } from "../runtime/json.ts";

/** Environment variables as read, empty ones left out. */
export type Environment = Readonly<Record<string, string>>;

/** The process's environment; empty where there is no process, as in a browser. The only place that looks. */
export function readEnvironment(): Environment {
  const found: Record<string, string> = {};
  const { process } = globalThis as { process?: unknown }; // not there in browsers, whatever the types say
  const env = isRecord(process) ? process["env"] : undefined;
  if (!isRecord(env)) return found;
  for (const name of names) {
    const value = env[name];
    if (typeof value === "string" && value.trim() !== "") found[name] = value.trim();
  }
  return found;
}

const names = [
  "SUPABASE_URL",
  "SUPABASE_ANON_KEY",
  "SUPABASE_SERVICE_ROLE_KEY",
  "SUPABASE_JWT_SECRET",
  "FEDERATION_ACCESS_TOKEN",
  "FEDERATION_HEARTBEAT_INTERVAL",
  "FEDERATION_MEMORY_SYNC",
  "FEDERATION_BROADCAST_LATENCY",
  "FEDERATION_PLAN_MESSAGES_PER_SECOND",
  "FEDERATION_PLAN_PRESENCE_PER_SECOND",
  "FEDERATION_VECTOR_BACKEND",
  "FEDERATION_SYNC_INTERVAL",
  "FEDERATION_DATA_DIR",
] as const;

/** Whether this code was sent to somebody: a page or a worker of a page, where secrets must not be. */
export function isBrowser(): boolean {
  const scope = globalThis as { process?: unknown; window?: unknown; WorkerGlobalScope?: unknown };
  const versions = isRecord(scope.process) ? scope.process["versions"] : undefined;
  if (isRecord(versions) && typeof versions["node"] === "string") return false;
  return scope.window !== undefined || scope.WorkerGlobalScope !== undefined;
}
