import { randomUUID } from "node:crypto";
import type { Database } from "../../database/database.ts";
import type { RealtimeClock, RealtimeParts } from "../realtime.ts";
import type { Binding } from "./binding.ts";

export interface ListenersParts {
  readonly database: Database;
  readonly clock: RealtimeClock;
  readonly log: RealtimeParts["log"];
}

const leaseSeconds = 120;
const renewEveryMs = 30_000;

/**
 * Tells the triggers which tables to capture, by rows of `realtime.row_listeners`. A statement that begins after `want`
 * resolved is captured. The rows are a lease: of a process that died they mean nothing two minutes later.
 */
export class Listeners {
  readonly #parts: ListenersParts;
  readonly #stack = randomUUID();
  readonly #wanted = new Map<string, { readonly schema: string; readonly table: string; count: number }>();
  readonly #written = new Set<string>();
  #writing: Promise<void> = Promise.resolve();
  #cancelRenewal: () => void = () => {};
  #isClosed = false;

  constructor(parts: ListenersParts) {
    this.#parts = parts;
    this.#scheduleRenewal();
  }

  /** Every `want` is followed by one `release`, also when it rejects. */
  async want(bindings: readonly Binding[]): Promise<void> {
    for (const { schema, table } of bindings) {
      const key = JSON.stringify([schema, table]);
      const known = this.#wanted.get(key);
      if (known === undefined) this.#wanted.set(key, { schema, table, count: 1 });
      else known.count++;
    }
    await this.#write();
  }

  release(bindings: readonly Binding[]): void {
    for (const { schema, table } of bindings) {
      const key = JSON.stringify([schema, table]);
      const known = this.#wanted.get(key);
      if (known !== undefined && --known.count === 0) this.#wanted.delete(key);
    }
    if (!this.#isClosed) this.#write().catch((error: unknown) => this.#say(error));
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#cancelRenewal();
    await this.#writing.catch(() => undefined);
    await this.#parts.database
      .query("delete from realtime.row_listeners where stack = $1::uuid", [this.#stack])
      .catch((error: unknown) => this.#say(error));
  }

  /** One after the other; each brings the table to what is wanted by then. */
  #write(): Promise<void> {
    const writing = this.#writing.catch(() => undefined).then(() => this.#bringUpToDate());
    this.#writing = writing;
    writing.catch(() => undefined); // whoever waits hears it
    return writing;
  }

  async #bringUpToDate(): Promise<void> {
    if (this.#isClosed) return;
    const { database } = this.#parts;
    for (const [key, { schema, table }] of this.#wanted) {
      if (this.#written.has(key)) continue;
      await database.query(writeSql, [this.#stack, schema, table, String(leaseSeconds)]);
      this.#written.add(key);
    }
    for (const key of this.#written) {
      if (this.#wanted.has(key)) continue;
      this.#written.delete(key);
      const [schema, table] = JSON.parse(key) as [string, string]; // made by `want`
      await database.query(
        "delete from realtime.row_listeners where stack = $1::uuid and schema_name = $2 and table_name = $3",
        [this.#stack, schema, table],
      );
    }
  }

  #scheduleRenewal(): void {
    this.#cancelRenewal = this.#parts.clock.after(renewEveryMs, () => {
      if (this.#isClosed) return;
      this.#scheduleRenewal();
      this.#written.clear(); // so that all are written again
      this.#write().catch((error: unknown) => this.#say(error));
    });
  }

  #say(error: unknown): void {
    this.#parts.log("error", "realtime: the list of captured tables could not be kept", {
      reason: String(error),
    });
  }
}

const writeSql = `
  insert into realtime.row_listeners (stack, schema_name, table_name, expires_at)
  values ($1::uuid, $2, $3, clock_timestamp() + make_interval(secs => $4::int))
  on conflict (stack, schema_name, table_name) do update set expires_at = excluded.expires_at`;
