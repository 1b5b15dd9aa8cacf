import type { RestOptions, RestRequest, RestResponse } from "../../rest/rest.ts";
import type { DatabaseErrorData, QueryResult, SqlText } from "../database.ts";

/** What the worker is started with. */
export interface WorkerSettings {
  readonly source: DatabaseSource;
  readonly rest: RestOptions;
  /** A Supabase CLI folder to apply before anything else; not again after a restart of the worker. */
  readonly migrationsDir: string | undefined;
  /** Shared with the main thread: see `Progress`. */
  readonly progress: SharedArrayBuffer;
}

export type DatabaseSource =
  | { readonly kind: "embedded"; readonly folder: string }
  | { readonly kind: "native"; readonly databaseUrl: string };

/** Every request has an id, greater than all before; `done` or `failed` answers it. */
export type WorkerRequest = { readonly id: number } & WorkerTask;

/** `transaction` is the id of the `begin` it belongs to. */
export type WorkerTask =
  | { readonly type: "rest"; readonly request: RestRequest }
  | {
      readonly type: "query";
      readonly sql: string;
      readonly params: readonly SqlText[];
      readonly transaction?: number;
    }
  | { readonly type: "exec"; readonly sql: string }
  | { readonly type: "begin" }
  | { readonly type: "commit"; readonly transaction: number }
  | { readonly type: "rollback"; readonly transaction: number }
  | { readonly type: "listen"; readonly channel: string }
  | { readonly type: "unlisten"; readonly channel: string }
  | { readonly type: "close" };

export type WorkerAnswer = RestResponse | QueryResult | null;

export type WorkerMessage =
  | { readonly type: "progress"; readonly text: string }
  | { readonly type: "ready"; readonly kind: "embedded" | "native"; readonly applied: readonly string[] }
  | { readonly type: "unusable"; readonly error: StartFailure }
  | { readonly type: "done"; readonly id: number; readonly value: WorkerAnswer }
  | { readonly type: "failed"; readonly id: number; readonly error: DatabaseErrorData }
  | { readonly type: "notification"; readonly channel: string; readonly payload: string }
  | {
      readonly type: "log";
      readonly level: "error" | "info" | "debug";
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>>;
    };

/** A LocalSupabaseError as plain data; `code` is undefined where the error was no such thing. */
export interface StartFailure {
  readonly code: string | undefined;
  readonly message: string;
  readonly remedy: string;
}
