// The thread that writes the tables: one batch of changes after the other, each in a transaction.
import { parentPort, workerData } from "node:worker_threads";
import { isFederationError, toError } from "../../runtime/errors.ts";
import { refuseIfOver, unbroken } from "../../runtime/unbroken-work.node.ts";
import { ByteReader } from "./byte-reader.ts";
import { readPlaced } from "./placed-change.ts";
import type { PlacedChange, TableBatch, TenantWords } from "./placed-change.ts";
import { openDatabases, openWords } from "./table-databases.node.ts";
import { TableWriter } from "./table-writer.node.ts";
import type { WriterAnswer, WriterCall, WriterOrder } from "./writer-messages.ts";

// Both ends are ours: writer-thread.node.ts gives and sends what writer-messages.ts says.
const { path, flags } = workerData as WriterOrder;
const port = parentPort;
if (port === null) throw new TypeError("table writer: not started as a thread");

const databases = openDatabases(path);
const writer = new TableWriter(databases);
const tenants = new Map<number, TenantWords>();

port.on("message", (call: WriterCall) => {
  if (call.type === "apply") answer(call);
  else void databases.root.close().then(() => port.close());
});

function answer({ tenants: news, bytes }: Extract<WriterCall, { type: "apply" }>): void {
  try {
    const reader = new ByteReader(bytes);
    const changes: PlacedChange[] = [];
    while (!reader.isAtEnd) changes.push(readPlaced(reader, tenantOf));
    write({ tenants: news, changes });
    const words = Uint32Array.from(changes, ({ tenant, slot }) =>
      slot < 0 ? 0 : tenant.words.wordsAt(slot),
    );
    report({ type: "applied", words, buffer: bytes.buffer }, [words.buffer, bytes.buffer]);
  } catch (error) {
    const code = isFederationError(error) ? error.code : undefined;
    report({ type: "failed", message: toError(error).message, code });
  }
}

/** A transaction that is under way when the process ends is given up. */
function write(batch: TableBatch): void {
  unbroken(flags, () =>
    databases.root.transactionSync(() => {
      for (const _ of writer.steps(batch)) refuseIfOver(flags);
    }),
  );
}

function tenantOf(number: number): TenantWords {
  let tenant = tenants.get(number);
  if (tenant === undefined) tenants.set(number, (tenant = { number, words: openWords(databases, number) }));
  return tenant;
}

function report(message: WriterAnswer, moved: ArrayBuffer[] = []): void {
  port?.postMessage(message, moved);
}
