import { rmSync } from "node:fs";
import { join } from "node:path";
import { Backend } from "./database/backend/backend.ts";
import type { DatabaseSource } from "./database/backend/messages.ts";
import { openDataFolder } from "./database/data-folder.ts";
import { readMigrations } from "./database/migrations/read-migrations.ts";
import { makePrivateFolder } from "./database/open-pglite.ts";
import { HttpServer } from "./http/http-server.ts";
import { createKeyring } from "./keys/create-keyring.ts";
import { randomSecret, storedSecret } from "./keys/stored-secret.ts";
import { createRealtime } from "./realtime/create-realtime.ts";
import { systemClock } from "./realtime/system-clock.ts";
import { Cleanups } from "./start-cleanups.ts";
import { resolveOptions, type LocalSupabaseOptions, type ResolvedOptions } from "./start-options.ts";

export interface LocalSupabase extends AsyncDisposable {
  /** For `createClient`: `http://127.0.0.1:54321`. */
  readonly url: string;
  readonly anonKey: string;
  readonly serviceRoleKey: string;
  readonly publishableKey: string;
  readonly secretKey: string;
  readonly jwtSecret: string;
  /** As it was given; the embedded database has none. */
  readonly databaseUrl: string | undefined;
  /** The files that this start applied. */
  readonly appliedMigrations: readonly string[];
  /** From the call to usable. */
  readonly startedInMs: number;
  /** Signs claims; `role` defaults to "authenticated", `exp` to an hour from now. */
  mintToken(claims: Readonly<Record<string, unknown>>): Promise<string>;
  /** Resolves when nothing of the stack runs any more. Every call returns the same promise. */
  close(): Promise<void>;
  /** Why it ended. Never rejects. */
  readonly closed: Promise<ClosedReason>;
}

export type ClosedReason =
  | { readonly reason: "closed" }
  /** The database could not be brought back after it had failed. */
  | { readonly reason: "database"; readonly error: Error };

/** A Supabase in this process. Resolves when usable; rejects with LocalSupabaseError and leaves nothing behind. */
export async function startLocalSupabase(given: LocalSupabaseOptions = {}): Promise<LocalSupabase> {
  const startedMs = performance.now();
  const options = resolveOptions(given);
  const cleanups = new Cleanups();
  try {
    return await start(options, cleanups, startedMs);
  } catch (error) {
    await cleanups.run().catch((failure: unknown) => {
      options.log("error", "cleaning up after a failed start failed", { error: String(failure) });
    });
    throw error;
  }
}

/** Cheap refusals first: the migrations' folder, the data folder, the port, then the database. */
async function start(
  options: ResolvedOptions,
  cleanups: Cleanups,
  startedMs: number,
): Promise<LocalSupabase> {
  const { log } = options;
  if (options.migrationsDir !== undefined) readMigrations(options.migrationsDir);
  const { source, jwtSecret } = prepareStorage(options, cleanups);
  const keyring = await createKeyring({ jwtSecret, jwks: options.jwks });
  const http = await HttpServer.listen({ host: options.host, port: options.port, log });
  cleanups.add(() => http.close());
  options.signal?.throwIfAborted();
  const { backend, applied } = await Backend.open({
    source,
    rest: {
      maxRows: options.maxRows,
      schemas: options.schemas,
      statementTimeoutMs: options.statementTimeoutMs,
      debug: options.restDebug,
    },
    migrationsDir: options.migrationsDir,
    log,
    onProgress: options.onProgress,
    signal: options.signal,
  });
  cleanups.add(() => backend.close());
  options.signal?.throwIfAborted();
  const realtime = await createRealtime({
    database: backend.database,
    keyring,
    log,
    clock: systemClock,
    settings: {
      limits: options.limits,
      isPrivateOnly: options.privateOnly,
      hasPresenceAlways: options.presenceEnabled,
    },
  });
  cleanups.add(() => realtime.close());
  http.serve({ keyring, rest: backend.rest, realtime });
  cleanups.add(() => http.stopServing());
  options.signal?.throwIfAborted();

  const ending = new Ending(cleanups);
  const onAbort = (): void => void ending.end({ reason: "closed" });
  options.signal?.addEventListener("abort", onAbort, { once: true });
  cleanups.add(() => options.signal?.removeEventListener("abort", onAbort));
  void backend.died.then((error) => {
    log("error", "the database is gone; the stack ends", { error: error.message });
    return ending.end({ reason: "database", error });
  });
  const startedInMs = Math.round(performance.now() - startedMs);
  log("info", "the local Supabase is up", { url: http.url, startedInMs, database: backend.database.kind });
  return {
    url: http.url,
    anonKey: keyring.anonKey,
    serviceRoleKey: keyring.serviceRoleKey,
    publishableKey: keyring.publishableKey,
    secretKey: keyring.secretKey,
    jwtSecret,
    databaseUrl: options.databaseUrl,
    appliedMigrations: applied,
    startedInMs,
    mintToken: (claims) => keyring.mint(claims),
    close: () => ending.end({ reason: "closed" }),
    closed: ending.reason,
    [Symbol.asyncDispose]: () => ending.end({ reason: "closed" }),
  };
}

function prepareStorage(
  options: ResolvedOptions,
  cleanups: Cleanups,
): { source: DatabaseSource; jwtSecret: string } {
  const { dataDir, databaseUrl } = options;
  const folder = dataDir === undefined ? undefined : openDataFolder(dataDir);
  if (folder !== undefined) cleanups.add(() => folder.release());
  const jwtSecret =
    folder === undefined
      ? (options.jwtSecret ?? randomSecret())
      : storedSecret(folder.keysFile, options.jwtSecret);
  if (databaseUrl !== undefined) return { source: { kind: "native", databaseUrl }, jwtSecret };
  if (folder !== undefined) return { source: { kind: "embedded", folder: folder.databaseFolder }, jwtSecret };
  const privateFolder = makePrivateFolder();
  cleanups.add(() => rmSync(privateFolder, { recursive: true, force: true }));
  return { source: { kind: "embedded", folder: join(privateFolder, "db") }, jwtSecret };
}

/** Ends once, whoever asks first; everybody gets the same promise. */
class Ending {
  readonly #cleanups: Cleanups;
  readonly reason: Promise<ClosedReason>;
  #report: (reason: ClosedReason) => void = () => undefined;
  #ending: Promise<void> | undefined;

  constructor(cleanups: Cleanups) {
    this.#cleanups = cleanups;
    this.reason = new Promise((report) => (this.#report = report));
  }

  end(reason: ClosedReason): Promise<void> {
    this.#ending ??= this.#cleanups.run().finally(() => this.#report(reason));
    return this.#ending;
  }
}
