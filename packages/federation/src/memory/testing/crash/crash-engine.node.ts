import { systemClock } from "../../../runtime/clock.ts";
import { silentLog } from "../../../runtime/log.ts";
import { ActingFor } from "../../acting.ts";
import { resolveAdapterOptions } from "../../adapter-options.ts";
import type { TenantStore } from "../../local/local-store.ts";
import { quietClock } from "../../quiet-clock.ts";
import { RestSyncServer } from "../../sync/rest-sync-server.ts";
import { SyncEngine } from "../../sync/sync-engine.ts";

/** The database that a store of a trial is in step with. */
export interface CrashServer {
  readonly url: string;
  readonly anonKey: string;
  readonly jwtSecret: string;
  /** For who looks at the rows afterwards. */
  readonly serviceRoleKey: string;
  readonly tenantId: string;
}

export interface CrashEngine {
  readonly engine: SyncEngine;
  close(): Promise<void>;
}

/** The sync as an adapter runs it, on the store of one tenant; it looks at the server all the time. */
export function openCrashEngine(
  store: TenantStore,
  { tenantId, url, anonKey, jwtSecret }: CrashServer,
): CrashEngine {
  const agentId = "writer";
  const options = resolveAdapterOptions(
    { url, anonKey, jwtSecret, agentId },
    { environment: {}, inBrowser: false },
  );
  const acting = new ActingFor(options, quietClock(systemClock, true));
  const engine = new SyncEngine({
    store,
    server: new RestSyncServer({ acting, tenantId, agentId }),
    writer: `${agentId}/${process.pid}`,
    isEnabled: true,
    syncIntervalMs: 50,
    requestTimeoutMs: 30_000,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
  });
  const close = async (): Promise<void> => {
    await engine.close();
    await acting.close();
  };
  return { engine, close };
}
