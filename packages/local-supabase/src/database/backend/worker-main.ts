import { parentPort, workerData } from "node:worker_threads";
import { createRest } from "../../rest/create-rest.ts";
import type { Rest } from "../../rest/rest.ts";
import { LocalSupabaseError } from "../../start-error.ts";
import { databaseError } from "../database-errors.ts";
import { DatabaseError, type Database } from "../database.ts";
import { applyMigrations } from "../migrations/apply-migrations.ts";
import { readMigrations } from "../migrations/read-migrations.ts";
import { openNative } from "../open-native.ts";
import { openPglite } from "../open-pglite.ts";
import { optionalExtensions } from "../pglite.ts";
import { startUpkeep, type Upkeep } from "../upkeep.ts";
import type { WorkerMessage, WorkerRequest, WorkerSettings } from "./messages.ts";
import { Progress } from "./progress.ts";
import { RequestRunner } from "./request-runner.ts";

// The main thread starts this file with WorkerSettings and nobody else does.
const settings = workerData as WorkerSettings;
const port = parentPort;
if (port === null) throw new Error("worker-main runs as a worker only");
const post = (message: WorkerMessage): void => port.postMessage(message);
const log = (
  level: "error" | "info" | "debug",
  message: string,
  fields: Record<string, unknown> = {},
): void => post({ type: "log", level, message, fields });

interface Parts {
  readonly database: Database;
  readonly rest: Rest;
  readonly upkeep: Upkeep;
}

try {
  serve(await start());
} catch (error) {
  post({ type: "unusable", error: startFailure(error) });
}

async function start(): Promise<Parts> {
  const progress = new Progress(settings.progress);
  const database = await openSource(() => progress.step());
  try {
    const { migrationsDir } = settings;
    const tell = (file: string): void => log("debug", "a migration is applied", { file });
    const applied = migrationsDir === undefined ? [] : await applyMigrations(database, migrationsDir, tell);
    const rest = await createRest(database, settings.rest);
    post({ type: "ready", kind: database.kind, applied });
    return { database, rest, upkeep: startUpkeep(database, log) };
  } catch (error) {
    await database.close();
    throw error;
  }
}

async function openSource(onStep: () => void): Promise<Database> {
  const { source, rest } = settings;
  if (source.kind === "native") {
    return await openNative(source.databaseUrl, { statementTimeoutMs: rest.statementTimeoutMs, log });
  }
  const onSlow = (): void =>
    post({ type: "progress", text: "preparing the database for the first start, some seconds" });
  // Whoever asked is answered first; then the main thread starts another worker.
  const onCrash = (): void => void setImmediate(() => process.exit(1));
  return await openPglite({ dataDir: source.folder, extensions: namedExtensions(), onSlow, onStep, onCrash });
}

/** Only a migration can create an extension; what the words of one may mean is loaded. */
function namedExtensions(): string[] {
  const { migrationsDir } = settings;
  const scripts =
    migrationsDir === undefined ? [] : readMigrations(migrationsDir).map(({ script }) => script);
  return optionalExtensions.filter((name) => scripts.some((script) => script.toLowerCase().includes(name)));
}

function serve({ database, rest, upkeep }: Parts): void {
  const runner = new RequestRunner({ database, rest, post, progress: new Progress(settings.progress) });
  port?.on("message", (request: WorkerRequest) => {
    if (request.type !== "close") {
      void answer(request, () => runner.run(request));
      return;
    }
    void answer(request, async () => {
      upkeep.stop();
      await runner.close();
      return null;
    }).then(() => port?.close());
  });
}

async function answer(request: WorkerRequest, run: () => ReturnType<RequestRunner["run"]>): Promise<void> {
  try {
    post({ type: "done", id: request.id, value: await run() });
  } catch (error) {
    const known = error instanceof DatabaseError ? error : databaseError("XX000", String(error));
    post({ type: "failed", id: request.id, error: known.toData() });
  }
}

function startFailure(error: unknown): { code: string | undefined; message: string; remedy: string } {
  if (error instanceof LocalSupabaseError)
    return { code: error.code, message: error.message, remedy: error.remedy };
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: undefined, message, remedy: "" };
}
