// Ends by itself as soon as the thread that writes the tables is within a transaction.
import { createWordIndex } from "../../words/create-word-index.ts";
import { MapTables } from "../../words/testing/map-tables.ts";
import { ChangeWriter } from "../changes.ts";
import type { PlacedChange } from "../placed-change.ts";
import { nextTurn } from "../turn.ts";
import { TablesInThread, WriterThread } from "../writer-thread.node.ts";
import { rowOf } from "./rows.ts";

const [path = ""] = process.argv.slice(2);
const writer = new ChangeWriter("t");
for (let n = 0; n < 20_000; n++) writer.put(rowOf({ id: `id-${n}`, content: `row number ${n}` }), "add");
const tenant = { number: 1, words: createWordIndex(new MapTables()) };
const changes = writer.finish().changes.map((change, slot): PlacedChange => {
  return { sequence: slot + 1, tenant, change, slot, isNew: true, record: undefined, endedPlace: undefined };
});
void new TablesInThread(path).apply({
  tenants: [{ number: 1, name: "t", firstText: 1, texts: [] }],
  changes,
});
while (!WriterThread.ofProcess.isWriting) await nextTurn();
process.exit(7);
