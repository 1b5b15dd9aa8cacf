import { existsSync } from "node:fs";
import { join } from "node:path";
import { readEnvironment } from "../../config/environment.ts";
import { FederationError, toError } from "../../runtime/errors.ts";
import type { MemoryRow } from "../memory-row.ts";
import { decodeChanges, decodeRow } from "./changes.ts";
import type { Change } from "./changes.ts";
import { folderName, resolveDataDir, storageError, withPath } from "./folder.node.ts";
import type { JournalRecord } from "./journal-codec.ts";
import { lockFolder } from "./lock.node.ts";
import { readJournals } from "./replay.node.ts";
import { checkTablesFile, missingTables } from "./tables-file.node.ts";
import { Tables } from "./tables.node.ts";
import { nextTurn } from "./turn.ts";

export interface SalvageReport {
  /** Rows in the tables, whole or not; 0 where the tables cannot be opened. */
  readonly tableRows: number;
  /** Whole records in the journal. */
  readonly journalRecords: number;
  /** Places in the journal, or whole tables, that cannot be read. */
  readonly brokenPlaces: number;
  /** Rows of the tables that are not what was written; counted while `rows` is read. */
  readonly unreadableRows: number;
  /** What could not be read, in words. */
  readonly problems: readonly string[];
}

export interface Salvage extends AsyncDisposable {
  readonly report: SalvageReport;
  /** Every row that is whole, tombstones too, each in its latest readable version. */
  rows(): AsyncIterable<{ readonly tenant: string; readonly row: MemoryRow }>;
  close(): Promise<void>;
}

/**
 * Reads what can be read of a store's folder, damaged or not, and changes nothing in it. It holds the folder's lock until it is closed.
 * Rejects with FederationError "locked" while a store has the folder, "not_found" where there is none.
 */
export async function salvageLocalStore(options: {
  store: string;
  dataDir?: string | undefined;
}): Promise<Salvage> {
  const folder = join(resolveDataDir(options.dataDir, readEnvironment()), folderName(options.store));
  if (!existsSync(folder))
    throw new FederationError("not_found", `salvage ${options.store}: there is no folder ${folder}`);
  const lock = withPath(`lock ${folder}`, () => lockFolder(folder));
  try {
    return new Salvaged(folder, () => lock.release());
  } catch (error) {
    lock.release();
    throw storageError(`salvage ${folder}`, error);
  }
}

type Latest = Map<string, { readonly tenant: string; readonly row: MemoryRow | undefined }>;

class Salvaged implements Salvage {
  readonly #unlock: () => void;
  readonly #tables: Tables | undefined;
  readonly #records: readonly JournalRecord[];
  readonly #problems: string[] = [];
  #tableRows = 0;
  #brokenPlaces = 0;
  #unreadableRows = 0;

  constructor(folder: string, unlock: () => void) {
    this.#unlock = unlock;
    const journal = join(folder, "journal");
    const files = existsSync(journal) ? readJournals(journal) : [];
    for (const { path, soundBytes, sizeBytes } of files) {
      if (soundBytes === sizeBytes) continue;
      this.#brokenPlaces += 1;
      this.#problems.push(`${path}: cannot be read at byte ${soundBytes} of ${sizeBytes}`);
    }
    this.#records = files.flatMap(({ records, beyond }) => [...records, ...beyond]);
    this.#tables = this.#openTables(join(folder, "tables"));
  }

  get report(): SalvageReport {
    return {
      tableRows: this.#tableRows,
      journalRecords: this.#records.length,
      brokenPlaces: this.#brokenPlaces,
      unreadableRows: this.#unreadableRows,
      problems: [...this.#problems],
    };
  }

  async *rows(): AsyncIterable<{ readonly tenant: string; readonly row: MemoryRow }> {
    const latest = this.#journalRows();
    this.#unreadableRows = 0;
    for (const { tenant, row } of latest.values()) if (row !== undefined) yield { tenant, row };
    const tables = this.#tables;
    if (tables === undefined) return;
    for (const { number, name } of tables.tenants()) {
      for (let ids = tables.idsAfter(number, "", 200); ids.length > 0;) {
        for (const id of ids) {
          const row = latest.has(keyOf(name, id)) ? undefined : this.#tableRow(tables, number, id);
          if (row !== undefined) yield { tenant: name, row };
        }
        await nextTurn();
        ids = tables.idsAfter(number, ids.at(-1) ?? "", 200);
      }
    }
  }

  async close(): Promise<void> {
    await this.#tables?.close();
    this.#unlock();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #openTables(folder: string): Tables | undefined {
    try {
      if (!checkTablesFile(folder)) throw missingTables(folder);
      const tables = new Tables(folder);
      this.#tableRows = tables.countRows();
      return tables;
    } catch (error) {
      this.#brokenPlaces += 1;
      this.#problems.push(toError(error).message);
      return undefined;
    }
  }

  #journalRows(): Latest {
    const latest: Latest = new Map();
    const applied = this.#tables?.applied ?? 0;
    for (const { sequence, body } of this.#records) {
      const { tenant, changes } = decodeChanges(body);
      changes.forEach((change, at) => {
        if (sequence + at > applied) noteChange(latest, tenant, change);
      });
    }
    return latest;
  }

  #tableRow(tables: Tables, tenant: number, id: string): MemoryRow | undefined {
    try {
      const slot = tables.slotOf(tenant, id);
      const row = slot === undefined ? undefined : tables.row(tenant, slot);
      if (row !== undefined) return row;
      throw new Error("its content is missing");
    } catch (error) {
      this.#unreadableRows += 1;
      this.#problems.push(`memory ${JSON.stringify(id)}: ${toError(error).message}`);
      return undefined;
    }
  }
}

function noteChange(latest: Latest, tenant: string, change: Change): void {
  if (change.kind === "put") latest.set(keyOf(tenant, change.id), { tenant, row: decodeRow(change.encoded) });
  else if (change.kind === "remove") latest.set(keyOf(tenant, change.id), { tenant, row: undefined });
}

function keyOf(tenant: string, id: string): string {
  return `${tenant}/${id}`; // no slash in a tenant's name
}
