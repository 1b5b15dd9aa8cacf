import { existsSync, readFileSync } from "node:fs";
import { isLocalSupabaseError } from "../start-error.ts";
import { startLocalSupabase, type LocalSupabase } from "../start-local-supabase.ts";
import type { LocalSupabaseOptions, Log } from "../start-options.ts";
import { parseCommand, usage } from "./arguments.ts";
import { stopOnSignals } from "./stop-on-signals.ts";

const usualMigrations = "supabase/migrations";

/** `npx supabase-local`. Keys go to standard output, so that `> .env` works; words for people to standard error. */
async function main(): Promise<number> {
  const command = parseCommand(
    process.argv.slice(2),
    existsSync(usualMigrations) ? usualMigrations : undefined,
  );
  switch (command.kind) {
    case "help":
      process.stdout.write(usage);
      return 0;
    case "version":
      process.stdout.write(`${version()}\n`);
      return 0;
    case "wrong":
      say(`${command.problem}\n\n${usage}`);
      return 2;
    case "start":
      return await start(command.options, command.isVerbose);
  }
}

async function start(options: LocalSupabaseOptions, isVerbose: boolean): Promise<number> {
  const { signal, exitCode } = stopOnSignals(() => say("ending; once more to end at once"));
  let supabase: LocalSupabase;
  try {
    supabase = await startLocalSupabase({ ...options, signal, onProgress: say, log: logTo(isVerbose) });
  } catch (error) {
    if (signal.aborted) return exitCode();
    say(describe(error));
    return 1;
  }
  for (const file of supabase.appliedMigrations) say(`applied ${file}`);
  say(`a local Supabase is up after ${(supabase.startedInMs / 1000).toFixed(1)} s; Ctrl-C ends it`);
  process.stdout.write(envLines(supabase));
  const ended = await supabase.closed;
  await supabase.close();
  return ended.reason === "closed" ? 0 : 1;
}

function envLines(supabase: LocalSupabase): string {
  return [
    `SUPABASE_URL=${supabase.url}`,
    `SUPABASE_ANON_KEY=${supabase.anonKey}`,
    `SUPABASE_SERVICE_ROLE_KEY=${supabase.serviceRoleKey}`,
    `SUPABASE_PUBLISHABLE_KEY=${supabase.publishableKey}`,
    `SUPABASE_SECRET_KEY=${supabase.secretKey}`,
    `SUPABASE_JWT_SECRET=${supabase.jwtSecret}`,
    "",
  ].join("\n");
}

function logTo(isVerbose: boolean): Log {
  return (level, message, fields = {}) => {
    if (level === "debug" && !isVerbose) return;
    if (level === "info" && message === "the local Supabase is up") return; // said above, in better words
    const facts = Object.entries(fields).map(([name, value]) => ` ${name}=${JSON.stringify(value)}`);
    say(`${level === "error" ? "error: " : ""}${message}${facts.join("")}`);
  };
}

function describe(error: unknown): string {
  if (isLocalSupabaseError(error)) return `${error.message}\n${error.remedy}`;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

function version(): string {
  const description: unknown = JSON.parse(
    readFileSync(new URL("../../package.json", import.meta.url), "utf8"),
  );
  const isDescribed = typeof description === "object" && description !== null && "version" in description;
  return isDescribed ? String(description.version) : "unknown";
}

function say(text: string): void {
  process.stderr.write(`supabase-local: ${text}\n`);
}

process.exitCode = await main();
