import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { startLocalSupabase } from "@agent-federation/local-supabase";

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
 * standard error which it is.
 */
export async function openProject(): Promise<Project> {
  if (existsSync(".env")) process.loadEnvFile(".env");
  const url = process.env["SUPABASE_URL"];
  if (url !== undefined && url !== "") {
    console.error(`Using the Supabase project at ${url}`);
    return { environment: federationSettings(), close: () => Promise.resolve() };
  }
  const stack = await startLocalSupabase({ port: 0, migrationsDir: migrationsFolder });
  console.error(`No SUPABASE_URL is set: a local Supabase runs at ${stack.url} until this ends`);
  return { environment: { ...federationSettings(), ...settingsOf(stack) }, close: () => stack.close() };
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
