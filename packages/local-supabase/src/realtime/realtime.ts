import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import type { Database } from "../database/database.ts";
import type { Keyring } from "../keys/credential.ts";
import type { RealtimeSettings } from "./settings.ts";

export interface RealtimeParts {
  readonly database: Database;
  readonly keyring: Keyring;
  readonly log: (
    level: "error" | "info" | "debug",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
  /** Milliseconds since 1970 and cancellable waits; tests hand in one they move by hand. */
  readonly clock: RealtimeClock;
  /** What differs from the defaults in settings.ts. */
  readonly settings?: Partial<RealtimeSettings>;
}

export interface RealtimeClock {
  now(): number;
  /** Calls once after `ms`; the returned function cancels. */
  after(ms: number, run: () => void): () => void;
}

/** The Realtime server. It owns its sockets; the HTTP server is somebody else's and only hands it requests. */
export interface Realtime {
  /** An upgrade of `/realtime/v1/websocket`. Answers refusals itself. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** A request below `/realtime/v1/api`, `path` being what follows (`/broadcast`, `/ping`), without the query. CORS headers and OPTIONS are done by the caller. */
  answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void>;
  /** Prometheus text. */
  metrics(): string;
  /** True when the database answers. Rejects when it cannot be asked. */
  askDatabase(): Promise<boolean>;
  /** False once it is closing. */
  readonly isServing: boolean;
  /** Tells every channel, closes every socket (1012), stops listening to the database. */
  close(): Promise<void>;
}
