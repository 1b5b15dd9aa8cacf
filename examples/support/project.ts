import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startLocalSupabase, type LocalSupabase } from "@agent-federation/local-supabase";
import { explain } from "./explain.ts";

/** A Supabase project that an example runs against. */
export interface Project {
  /** SUPABASE_URL, its keys, and whatever FEDERATION_… is set. */
  readonly environment: Readonly<Record<string, string>>;
  /** Ends the local stack if there is one; a project of the environment is left alone. */
  close(): Promise<void>;
}

/** The migrations of this repository. */
export const migrationsFolder: string = fileURLToPath(new URL("../../supabase/migrations/", import.meta.url));

/**
 * The project that the environment or a `.env` file in this folder names, else a local one, in memory and on a free port. Says on
 * standard error which it is. A signal that aborts undoes a start that is under way, and the program ends.
 */
export async function openProject(signal?: AbortSignal): Promise<Project> {
  if (existsSync(".env")) process.loadEnvFile(".env");
  const url = process.env["SUPABASE_URL"];
  if (url !== undefined && url !== "") {
    console.error(`Using the Supabase project at ${url}`);
    return { environment: federationSettings(), close: () => Promise.resolve() };
  }
  const stack = await startStack(signal);
  console.error(`No SUPABASE_URL is set: a local Supabase runs at ${stack.url} until this ends`);
  return { environment: { ...federationSettings(), ...settingsOf(stack) }, close: () => stack.close() };
}

async function startStack(signal: AbortSignal | undefined): Promise<LocalSupabase> {
  const starting = new AbortController();
  const onAbort = (): void => starting.abort(signal?.reason);
  signal?.addEventListener("abort", onAbort, { once: true });
  try {
    return await startLocalSupabase({ port: 0, migrationsDir: migrationsFolder, signal: starting.signal });
  } catch (error) {
    console.error(
      signal?.aborted === true ? "Stopped while the local Supabase was starting" : explain(error),
    );
    return process.exit(1);
  } finally {
    signal?.removeEventListener("abort", onAbort);
  }
}

/** What a server that uses the stack needs to know. With the JWT secret, each agent gets tokens of its own. */
export function settingsOf(stack: {
  url: string;
  anonKey: string;
  jwtSecret: string;
}): Record<string, string> {
  return { SUPABASE_URL: stack.url, SUPABASE_ANON_KEY: stack.anonKey, SUPABASE_JWT_SECRET: stack.jwtSecret };
}

/** What of the environment concerns the federation. */
export function federationSettings(): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (/^(SUPABASE|FEDERATION)_/.test(name) && value !== undefined && value !== "") settings[name] = value;
  }
  return settings;
}
