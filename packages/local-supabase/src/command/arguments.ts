import { parseArgs } from "node:util";
import { plans, type PlanName } from "../realtime/limits/plans.ts";
import type { LocalSupabaseOptions } from "../start-options.ts";

export type Command =
  | { readonly kind: "start"; readonly options: LocalSupabaseOptions; readonly isVerbose: boolean }
  | { readonly kind: "help" }
  | { readonly kind: "version" }
  | { readonly kind: "wrong"; readonly problem: string };

export const usage = `usage: supabase-local [option …]

Starts a Supabase in this process: REST and Realtime over an embedded Postgres with pgvector.
Prints its URL and keys as lines for .env, and stays up until Ctrl-C.

  --port <n>            default 54321; 0 takes any port that is free
  --host <address>      default 127.0.0.1, this machine only
  --data-dir <folder>   keeps data and keys; without it everything ends with the process
  --database-url <url>  a Postgres 15 or newer (superuser) instead of the embedded one
  --migrations <folder> applies what is new in it, as the Supabase CLI does; default supabase/migrations if that exists
  --jwt-secret <text>   at least 32 characters; default random, kept in the data folder
  --limits <plan>       Realtime limits of free, pro or team; default off
  --verbose             a line per request on standard error
  --help, --version
`;

/** What the words after the command's name ask for. */
export function parseCommand(words: readonly string[], defaultMigrations: string | undefined): Command {
  let values: ReturnType<typeof parseWords>;
  try {
    values = parseWords(words);
  } catch (error) {
    return { kind: "wrong", problem: error instanceof Error ? error.message : String(error) };
  }
  if (values.help === true) return { kind: "help" };
  if (values.version === true) return { kind: "version" };
  const port = values.port === undefined ? undefined : Number(values.port);
  if (port !== undefined && (values.port?.trim() === "" || !Number.isInteger(port))) {
    return { kind: "wrong", problem: `--port: expected a number, got "${values.port}"` };
  }
  const limits = values.limits === "off" ? undefined : values.limits;
  if (limits !== undefined && !isPlan(limits))
    return { kind: "wrong", problem: `--limits: expected off, free, pro or team, got "${limits}"` };
  const given = {
    limits,
    port,
    host: values.host,
    dataDir: values["data-dir"],
    databaseUrl: values["database-url"],
    migrationsDir: values.migrations ?? defaultMigrations,
    jwtSecret: values["jwt-secret"],
  };
  return { kind: "start", options: withoutUndefined(given), isVerbose: values.verbose === true };
}

function isPlan(name: string): name is PlanName {
  return Object.hasOwn(plans, name);
}

function parseWords(words: readonly string[]) {
  return parseArgs({
    args: [...words],
    allowPositionals: false,
    options: {
      port: { type: "string" },
      host: { type: "string" },
      "data-dir": { type: "string" },
      "database-url": { type: "string" },
      migrations: { type: "string" },
      "jwt-secret": { type: "string" },
      limits: { type: "string" },
      verbose: { type: "boolean" },
      help: { type: "boolean", short: "h" },
      version: { type: "boolean", short: "v" },
    },
  }).values;
}

type WithoutUndefined<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function withoutUndefined<T extends object>(value: T): WithoutUndefined<T> {
  // Only members that are undefined are left out, which is what the type says.
  return Object.fromEntries(
    Object.entries(value).filter(([, member]) => member !== undefined),
  ) as WithoutUndefined<T>;
}
