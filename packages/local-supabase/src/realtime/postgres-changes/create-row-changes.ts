import type { Database } from "../../database/database.ts";
import type { Credential } from "../../keys/credential.ts";
import type { RealtimeClock, RealtimeParts } from "../realtime.ts";
import { parseBinding, type Binding } from "./binding.ts";
import { checkBindings } from "./check-bindings.ts";
import { deliverRows } from "./deliver-rows.ts";
import { ChangesFeed } from "./feed.ts";
import type { Asker } from "./judge.ts";
import { Listeners } from "./listeners.ts";
import type { PreparedRows, RowChanges, RowEntry } from "./row-changes.ts";
import { Subscriptions, type RowReceiver, type Subscription } from "./subscriptions.ts";
import { FactsCache } from "./table-facts.ts";
import { problems } from "./texts.ts";

export interface RowChangesParts {
  readonly database: Database;
  readonly clock: RealtimeClock;
  readonly log: RealtimeParts["log"];
}

/** Resolves when committed changes are listened to. */
export async function createRowChanges({ database, clock, log }: RowChangesParts): Promise<RowChanges> {
  const facts = new FactsCache(database);
  const subscriptions = new Subscriptions();
  const stopWatching = await database.listen("pgrst", () => facts.forget());
  const feed = await ChangesFeed.start({
    database,
    clock,
    log,
    isWanted: () => !subscriptions.isEmpty,
    deliver: (rows) => deliverRows(rows, { database, subscriptions, facts, log }),
  });
  const listeners = new Listeners({ database, clock, log });
  const check = async (bindings: readonly Binding[], asker: Asker): Promise<string | undefined> => {
    try {
      return await checkBindings(bindings, asker, { database, facts });
    } catch (error) {
      log("error", "realtime: a subscription to rows could not be checked", { reason: String(error) });
      return problems.databaseFailed(String(error));
    }
  };

  return {
    async prepare(entries, credential) {
      const bindings = parseEntries(entries);
      if (typeof bindings === "string") return { problem: bindings };
      const asker = askerOf(credential);
      const problem = await check(bindings, asker);
      if (problem !== undefined) return { problem };
      try {
        await listeners.want(bindings);
      } catch (error) {
        listeners.release(bindings);
        log("error", "realtime: a subscription to rows could not be written", { reason: String(error) });
        return { problem: problems.databaseFailed(String(error)) };
      }
      return new Rows({ bindings, asker, subscriptions, listeners, check });
    },
    async close() {
      await feed.close();
      await listeners.close();
      await stopWatching();
    },
  };
}

interface RowsParts {
  readonly bindings: readonly Binding[];
  readonly asker: Asker;
  readonly subscriptions: Subscriptions;
  readonly listeners: Listeners;
  readonly check: (bindings: readonly Binding[], asker: Asker) => Promise<string | undefined>;
}

/*  prepared ──attach──▶ attached ──release──▶ released      prepared ──release──▶ released */
class Rows implements PreparedRows {
  readonly #parts: RowsParts;
  #asker: Asker;
  #subscription: Subscription | undefined;
  #isReleased = false;

  constructor(parts: RowsParts) {
    this.#parts = parts;
    this.#asker = parts.asker;
  }

  attach(receiver: RowReceiver): void {
    if (this.#isReleased || this.#subscription !== undefined) return;
    this.#subscription = { receiver, bindings: this.#parts.bindings, asker: this.#asker };
    this.#parts.subscriptions.add(this.#subscription);
  }

  async renew(credential: Credential): Promise<string | undefined> {
    this.#asker = askerOf(credential);
    if (this.#subscription !== undefined) {
      this.#subscription.asker = this.#asker;
      this.#parts.subscriptions.changed();
    }
    return await this.#parts.check(this.#parts.bindings, this.#asker);
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    if (this.#subscription !== undefined) this.#parts.subscriptions.remove(this.#subscription);
    this.#parts.listeners.release(this.#parts.bindings);
  }
}

function parseEntries(entries: readonly RowEntry[]): readonly Binding[] | string {
  const bindings: Binding[] = [];
  for (const { entry, id } of entries) {
    const parsed = parseBinding(entry, id);
    if ("problem" in parsed) return parsed.problem;
    bindings.push(parsed.binding);
  }
  return bindings;
}

/** A renewed token differs in when it was made and ends; a policy may look at that, so it is another asker. */
function askerOf({ role, claims }: Credential): Asker {
  const claimsJson = JSON.stringify(claims);
  return { key: `${role} ${claimsJson}`, role, claimsJson };
}
