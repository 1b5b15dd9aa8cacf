import type { JSONWebKeySet } from "jose";
import { readLimits, type LimitFigures, type LimitsOption } from "./realtime/limits/plans.ts";
import { LocalSupabaseError } from "./start-error.ts";

export type LogLevel = "error" | "info" | "debug";
/** A constant message and its facts. Never gets a key, a token or a body. */
export type Log = (level: LogLevel, message: string, fields?: Record<string, unknown>) => void;

export interface LocalSupabaseOptions {
  /** Default 54321, as the Supabase CLI; 0 takes any that is free. */
  readonly port?: number;
  /** Default 127.0.0.1: this machine only. */
  readonly host?: string;
  /** Keeps data and keys. Without it everything ends with the stack. */
  readonly dataDir?: string;
  /** A native Postgres 15 or newer, by a superuser's URL, instead of the embedded database. */
  readonly databaseUrl?: string;
  /** At least 32 characters. Default: what the data folder keeps, else a new random one. */
  readonly jwtSecret?: string;
  /** Public keys of somebody else who signs tokens. */
  readonly jwks?: JSONWebKeySet;
  /** A Supabase CLI folder (`supabase/migrations`); what is not yet applied is applied at the start. */
  readonly migrationsDir?: string;
  /** Default: silent. */
  readonly log?: Log;
  /** Aborting it ends the stack; while it starts, the start rejects with the signal's reason once all is undone. */
  readonly signal?: AbortSignal;
  /** A line for a person who waits: the first start of all takes some seconds. */
  readonly onProgress?: (text: string) => void;
  /** The most rows one answer holds. Default 1000, as hosted. */
  readonly maxRows?: number;
  /** A statement that takes longer ends with 57014. Default 8000, as hosted; 0 never. */
  readonly statementTimeoutMs?: number;
  /** Schemas that REST serves, the first is the default. Default `public`. */
  readonly schemas?: readonly string[];
  /** Lets every client ask for execution plans and roll its request back: `explain()`, `rollback()`. Default false, as hosted. */
  readonly restDebug?: boolean;
  /** Limits of Realtime: `"free"`, `"pro"`, `"team"` as hosted plans document them, or figures of your own. Default `"off"`. */
  readonly limits?: LimitsOption;
  /** Realtime refuses public channels. Default false. */
  readonly privateOnly?: boolean;
  /** Realtime gives presence to every channel, also to one that did not ask for it. Default false. */
  readonly presenceEnabled?: boolean;
}

export interface ResolvedOptions {
  readonly port: number;
  readonly host: string;
  readonly dataDir: string | undefined;
  readonly databaseUrl: string | undefined;
  readonly jwtSecret: string | undefined;
  readonly jwks: JSONWebKeySet | undefined;
  readonly migrationsDir: string | undefined;
  readonly log: Log;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (text: string) => void;
  readonly maxRows: number;
  readonly statementTimeoutMs: number;
  readonly schemas: readonly string[];
  readonly restDebug: boolean;
  readonly limits: LimitFigures | undefined;
  readonly privateOnly: boolean;
  readonly presenceEnabled: boolean;
}

/** Fills defaults. Throws "option" for what cannot be meant. */
export function resolveOptions(given: LocalSupabaseOptions): ResolvedOptions {
  const limits = readLimits(given.limits ?? "off");
  if ("problem" in limits) throw refused("limits", limits.problem);
  const options: ResolvedOptions = {
    port: given.port ?? 54_321,
    host: given.host ?? "127.0.0.1",
    dataDir: given.dataDir,
    databaseUrl: given.databaseUrl,
    jwtSecret: given.jwtSecret,
    jwks: given.jwks,
    migrationsDir: given.migrationsDir,
    log: given.log ?? (() => undefined),
    signal: given.signal,
    onProgress: given.onProgress ?? (() => undefined),
    maxRows: given.maxRows ?? 1_000,
    statementTimeoutMs: given.statementTimeoutMs ?? 8_000,
    schemas: given.schemas ?? ["public"],
    restDebug: given.restDebug ?? false,
    limits: limits.figures,
    privateOnly: given.privateOnly ?? false,
    presenceEnabled: given.presenceEnabled ?? false,
  };
  expectInteger("port", options.port, 0, 65_535);
  expectInteger("maxRows", options.maxRows, 1, Number.MAX_SAFE_INTEGER);
  expectInteger("statementTimeoutMs", options.statementTimeoutMs, 0, 2_147_483_647);
  if (options.schemas.length === 0) throw wrong("schemas", "at least one", "none");
  for (const name of ["dataDir", "migrationsDir", "databaseUrl", "host"] as const) {
    if (options[name] === "") throw wrong(name, "a text", "an empty one");
  }
  return options;
}

function expectInteger(name: string, value: number, min: number, max: number): void {
  if (!Number.isInteger(value) || value < min || value > max)
    throw wrong(name, `${min} to ${max}`, String(value));
}

function wrong(name: string, expected: string, found: string): LocalSupabaseError {
  return refused(name, `expected ${expected}, got ${found}`);
}

function refused(name: string, problem: string): LocalSupabaseError {
  return new LocalSupabaseError("option", `${name}: ${problem}`, {
    remedy: `Correct the option ${name}.`,
  });
}
