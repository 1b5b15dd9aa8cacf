// The thread that writes the tables of a process' stores: one batch of changes after the other, each in a transaction.
import { getPriority, setPriority } from "node:os";
import { parentPort, workerData } from "node:worker_threads";
import { isFederationError, toError } from "../../runtime/errors.ts";
import { refuseIfOver, unbroken } from "../../runtime/unbroken-work.node.ts";
import { ByteReader } from "./byte-reader.ts";
import { readPlaced } from "./placed-change.ts";
import type { PlacedChange, TableBatch, TenantWords } from "./placed-change.ts";
import { openDatabases, openWords } from "./table-databases.node.ts";
import type { TableDatabases } from "./table-databases.node.ts";
import { TableWriter } from "./table-writer.node.ts";
import type { WriterAnswer, WriterCall, WriterOrder } from "./writer-messages.ts";

interface OpenTables {
  readonly databases: TableDatabases;
  readonly writer: TableWriter;
  readonly tenants: Map<number, TenantWords>;
}

// Both ends are ours: writer-thread.node.ts gives and sends what writer-messages.ts says.
const { flags } = workerData as WriterOrder;
const port = parentPort;
if (port === null) throw new TypeError("table writer: not started as a thread");

// Who writes and who searches is waited for, and gives way to nobody here. Elsewhere this would be the priority of the whole process.
if (process.platform === "linux") setPriority(Math.min(19, getPriority() + 5));

const stores = new Map<number, OpenTables>();

port.on("message", (call: WriterCall) => void answer(call));

/** What goes wrong in one store is no other's affair. */
async function answer(call: WriterCall): Promise<void> {
  const { store } = call;
  try {
    if (call.type === "apply") apply(call);
    else await close(store);
  } catch (error) {
    const code = isFederationError(error) ? error.code : undefined;
    report({ type: "failed", store, message: toError(error).message, code });
  }
}

function apply({ store, path, tenants, bytes }: Extract<WriterCall, { type: "apply" }>): void {
  const tables = tablesOf(store, path);
  const reader = new ByteReader(bytes);
  const changes: PlacedChange[] = [];
  while (!reader.isAtEnd) changes.push(readPlaced(reader, (number) => tenantOf(tables, number)));
  write(tables, { tenants, changes });
  const words = Uint32Array.from(changes, ({ tenant, slot }) => (slot < 0 ? 0 : tenant.words.wordsAt(slot)));
  report({ type: "applied", store, words, buffer: bytes.buffer }, [words.buffer, bytes.buffer]);
}

/** A transaction that is under way when the process ends is given up. */
function write({ databases, writer }: OpenTables, batch: TableBatch): void {
  unbroken(flags, () =>
    databases.root.transactionSync(() => {
      for (const _ of writer.steps(batch)) refuseIfOver(flags);
    }),
  );
}

async function close(store: number): Promise<void> {
  const tables = stores.get(store);
  stores.delete(store);
  await tables?.databases.root.close();
  report({ type: "closed", store });
}

function tablesOf(store: number, path: string): OpenTables {
  let tables = stores.get(store);
  if (tables === undefined) {
    const databases = openDatabases(path);
    stores.set(store, (tables = { databases, writer: new TableWriter(databases), tenants: new Map() }));
  }
  return tables;
}

function tenantOf({ databases, tenants }: OpenTables, number: number): TenantWords {
  let tenant = tenants.get(number);
  if (tenant === undefined) tenants.set(number, (tenant = { number, words: openWords(databases, number) }));
  return tenant;
}

function report(message: WriterAnswer, moved: ArrayBuffer[] = []): void {
  port?.postMessage(message, moved);
}
