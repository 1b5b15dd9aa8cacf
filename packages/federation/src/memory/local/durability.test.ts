import {
  appendFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import { folderName } from "./folder.node.ts";
import type { Durability, LocalStore } from "./local-store.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { salvageLocalStore } from "./salvage.node.ts";
import { RecordedFiles } from "./testing/recorded-files.node.ts";
import { rowOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();

test("under power every write is flushed before it is acknowledged, and writes share a flush", async () => {
  const files = new RecordedFiles();
  const store = await openLocalStore({ store: "power", dataDir, durability: "power", files });
  files.done.length = 0;
  const write = async (id: string): Promise<void> => {
    await store.tenant("t").write([{ row: rowOf({ id }) }], { outbox: false });
    files.done.push(`acknowledged ${id}`);
  };
  const ids = Array.from({ length: 50 }, (_, n) => `id-${n}`);
  await Promise.all(ids.map(write));
  await write("last");
  // Whatever is acknowledged was appended and then flushed; what comes in one turn shares a flush, unless the turn was over before.
  const at = (step: string): number => files.done.lastIndexOf(step);
  expect(at("append")).toBeLessThan(at("sync"));
  expect(at("sync")).toBeLessThan(at("synced"));
  expect(at("synced")).toBeLessThan(at("acknowledged last"));
  expect(files.done.indexOf("synced")).toBeLessThan(files.done.indexOf("acknowledged id-0"));
  expect(files.appended.reduce((sum, each) => sum + each, 0)).toBe(51);
  expect(files.done.filter((step) => step === "sync").length).toBeLessThan(10);
  await store.close();
});

test("under process writes of one turn share one write, and nothing is flushed", async () => {
  const files = new RecordedFiles();
  const store = await openLocalStore({ store: "process", dataDir, files });
  const ids = Array.from({ length: 50 }, (_, n) => `id-${n}`);
  await Promise.all(ids.map((id) => store.tenant("t").write([{ row: rowOf({ id }) }], { outbox: false })));
  // One, or a few where the turn of the event loop was over before all had been decided.
  expect(files.appended.reduce((sum, each) => sum + each, 0)).toBe(50);
  expect(files.appended.length).toBeLessThan(10);
  expect(files.done).not.toContain("sync");
  await store.close();
});

test("the journal is cut once everything is in the tables", async () => {
  const store = await openLocalStore({ store: "cut", dataDir, maxJournalFileBytes: 1_000 });
  for (let n = 0; n < 20; n++)
    await store.tenant("t").write([{ row: rowOf({ id: `${n}` }) }], { outbox: false });
  await store.flush();
  expect(readdirSync(join(store.folder, "journal"))).toEqual([]);
  expect(store.tenant("t").counts(0).living).toBe(20);
  await store.close();
});

test("a store opened from what a killed process left has all that was acknowledged, and goes on from there", async () => {
  const store = await abandoned("killed", {}, 30);
  for (let n = 0; n < 30; n++) expect(store.tenant("t").get(`id-${n}`)?.content).toBe(`content ${n}`);
  await store.tenant("t").write([{ row: rowOf({ id: "after" }) }], { outbox: true });
  const places = store
    .tenant("t")
    .outbox({ maxRows: 99, maxBytes: 1e9 })
    .map((entry) => entry.place);
  expect(new Set(places).size).toBe(31);
  await store.close();
});

test("a write that was cut off ends the replay, and what comes after it is not lost", async () => {
  const store = await abandoned("torn", {}, 5, (journal) =>
    appendFileSync(journal, readFileSync(journal).subarray(0, 50)),
  );
  expect(store.tenant("t").counts(0).living).toBe(5);
  await store.tenant("t").write([{ row: rowOf({ id: "after" }) }], { outbox: false });
  await store.close();
  const again = await openLocalStore({ store: "torn", dataDir });
  expect(again.tenant("t").counts(0).living).toBe(6);
  await again.close();
});

test("a journal damaged in the middle is reported and left as it is, and salvage reads the rest", async () => {
  const opening = abandoned("damaged", {}, 8, (journal) => {
    const bytes = readFileSync(journal);
    const at = bytes.indexOf("content 3");
    bytes.write("CONTENT 3", at);
    writeFileSync(journal, bytes);
  });
  await expect(opening).rejects.toSatisfy((error) => isFederationError(error, "damaged"));
  await expect(opening).rejects.toThrow(/change 4 is missing.*7 whole records.*salvageLocalStore/s);
  await expect(openLocalStore({ store: "damaged", dataDir })).rejects.toThrow(/change 4 is missing/);

  await using salvage = await salvageLocalStore({ store: "damaged", dataDir });
  const ids: string[] = [];
  for await (const { tenant, row } of salvage.rows()) ids.push(`${tenant}/${row.id}`);
  expect(ids.sort()).toEqual([0, 1, 2, 4, 5, 6, 7].map((n) => `t/id-${n}`));
  expect(salvage.report).toMatchObject({ journalRecords: 7, brokenPlaces: 1, unreadableRows: 0 });
});

test("damage to the last record is reported as well, and only a power cut excuses it", async () => {
  const opening = abandoned("end", {}, 8, (journal) => {
    const bytes = readFileSync(journal);
    bytes.write("CONTENT 7", bytes.indexOf("content 7"));
    writeFileSync(journal, bytes);
  });
  await expect(opening).rejects.toThrow(/change 8 is missing.*nothing behind it can; 7 whole records/);
  const salvage = await salvageLocalStore({ store: "end", dataDir });
  const ids: string[] = [];
  for await (const { row } of salvage.rows()) ids.push(row.id);
  expect(ids.sort()).toEqual([0, 1, 2, 3, 4, 5, 6].map((n) => `id-${n}`));
  await salvage.close();

  const folder = join(dataDir, folderName("end"));
  const [name = ""] = readdirSync(folder).filter((each) => each.startsWith("lock-"));
  const holder = JSON.parse(readFileSync(join(folder, name), "utf8")) as object;
  writeFileSync(join(folder, name), JSON.stringify({ ...holder, boot: "an earlier one" }));
  const told: unknown[] = [];
  const store = await openLocalStore({
    store: "end",
    dataDir,
    log: (level, message, fields) => void (level === "error" && told.push([message, fields?.["files"]])),
  });
  expect(store.tenant("t").counts(0).living).toBe(7);
  expect(told).toEqual([[expect.stringContaining("did not survive a power cut"), 1]]);
  expect(readdirSync(join(folder, "journal")).filter((each) => each.endsWith(".lost"))).toHaveLength(1);
  await store.close();
});

test.each([0, 1, 31, 32, 33, 100, 200])(
  "under power a write that was cut off after %i bytes, with zeros behind it, ends the replay",
  async (length) => {
    const name = `ahead ${length}`;
    const store = await abandoned(name, { durability: "power" }, 5, (journal) => {
      const bytes = readFileSync(journal);
      writeFileSync(journal, bytes.fill(0, bytes.lastIndexOf("AFJL") + length));
    });
    expect(store.tenant("t").counts(0).living).toBe(4);
    await store.tenant("t").write([{ row: rowOf({ id: "after" }) }], { outbox: false });
    await store.close();
    const again = await openLocalStore({ store: name, dataDir });
    expect(again.tenant("t").counts(0).living).toBe(5);
    await again.close();
  },
);

test("under power what a killed process left is longer than what is in it, and whole", async () => {
  let sizeBytes = 0;
  const store = await abandoned("ahead", { durability: "power" }, 5, (journal) => {
    const bytes = readFileSync(journal);
    sizeBytes = bytes.length - bytes.lastIndexOf("content 4");
    cpSync(join(journal, "..", ".."), join(dataDir, folderName("ahead, salvaged")), { recursive: true });
  });
  expect(sizeBytes).toBeGreaterThan(100_000);
  expect(store.tenant("t").counts(0).living).toBe(5);
  await store.close();
  await using salvage = await salvageLocalStore({ store: "ahead, salvaged", dataDir });
  expect(salvage.report).toMatchObject({ journalRecords: 5, brokenPlaces: 0 });
});

test.each([3, 7])("under power damage to record %i of 8 is reported and hides nothing else", async (n) => {
  const store = `ahead hurt ${n}`;
  const opening = abandoned(store, { durability: "power" }, 8, (journal) => {
    const bytes = readFileSync(journal);
    bytes.write("CONTENT", bytes.indexOf(`content ${n}`));
    writeFileSync(journal, bytes);
  });
  await expect(opening).rejects.toThrow(new RegExp(`change ${n + 1} is missing.*7 whole records`));
  await using salvage = await salvageLocalStore({ store, dataDir });
  expect(salvage.report).toMatchObject({ journalRecords: 7, brokenPlaces: 1 });
});

test("zeros at the end of a file that none were written ahead of are damage", async () => {
  const opening = abandoned("zeroed", {}, 8, (journal) => {
    const bytes = readFileSync(journal);
    writeFileSync(journal, bytes.fill(0, bytes.lastIndexOf("AFJL")));
  });
  await expect(opening).rejects.toThrow(/change 8 is missing/);
});

test("a row in the tables that is not what was written is reported, not returned", async () => {
  const store = await openLocalStore({ store: "rotten", dataDir });
  const marker = "a content that is easy to find in a file";
  await store
    .tenant("t")
    .write([{ row: rowOf({ id: "bad", content: marker }) }, { row: rowOf({ id: "good" }) }], {
      outbox: false,
    });
  await store.close();
  const path = join(store.folder, "tables", "data.mdb");
  const bytes = readFileSync(path);
  for (let at = bytes.indexOf(marker); at !== -1; at = bytes.indexOf(marker, at + 1)) bytes.write("A", at);
  writeFileSync(path, bytes);

  const again = await openLocalStore({ store: "rotten", dataDir });
  expect(() => again.tenant("t").get("bad")).toThrow(/checksum/);
  expect(again.tenant("t").get("good")?.id).toBe("good");
  await again.close();
  await using salvage = await salvageLocalStore({ store: "rotten", dataDir });
  const ids: string[] = [];
  for await (const { row } of salvage.rows()) ids.push(row.id);
  expect(ids).toEqual(["good"]);
  expect(salvage.report).toMatchObject({ unreadableRows: 1 });
});

test.each([
  ["by little", 200, 0.5],
  ["by much", 1_500, 0.3],
  ["to its beginning", 20, 0.001],
])("tables whose file was cut short %s are reported, and end no process", async (how, rows, share) => {
  const name = `short ${how}`;
  const store = await openLocalStore({ store: name, dataDir });
  const writes = Array.from({ length: rows }, (_, n) => ({
    row: rowOf({ id: `${n}`, content: "x".repeat(2_000) }),
  }));
  await store.tenant("t").write(writes, { outbox: false });
  await store.close();
  const path = join(store.folder, "tables", "data.mdb");
  const bytes = readFileSync(path);
  writeFileSync(path, bytes.subarray(0, Math.ceil(bytes.length * share)));
  const isDamaged = (error: unknown): boolean => isFederationError(error, "damaged");
  await expect(openLocalStore({ store: name, dataDir })).rejects.toSatisfy(isDamaged);
  await using salvage = await salvageLocalStore({ store: name, dataDir });
  expect(salvage.report.brokenPlaces).toBe(1);
});

const pageBytes = 4_096;
const timeBytes = new Uint8Array(Float64Array.of(Date.parse("2025-06-07T08:09:10.111Z") * 1000).buffer);
const idKey = Buffer.from("\0\0\0\u0001id-7");

/** Calls back for every place where the bytes are, in what is used of the file and in what is left of earlier. */
function eachPlace(file: Buffer, bytes: Uint8Array, hurt: (at: number) => void): void {
  for (let at = file.indexOf(bytes); at !== -1; at = file.indexOf(bytes, at + 1)) hurt(at);
}

test.each<[string, (file: Buffer) => void, "open" | "get"]>([
  [
    "a page of ids",
    (file) => eachPlace(file, idKey, (at) => file.fill(0, at - (at % pageBytes) + 16, at + 12)),
    "open",
  ],
  ["a page of records", (file) => eachPlace(file, timeBytes, (at) => file.fill(0, at - 13, at + 18)), "open"],
  [
    "the agent of a record",
    (file) => eachPlace(file, timeBytes, (at) => file.writeUInt32LE(77, at - 12)),
    "open",
  ],
  [
    "an id that waits for the server",
    (file) =>
      eachPlace(file, Buffer.from("id-7"), (at) => {
        const before = file[at - 1];
        if (before !== 1 && before !== 34) file.write("di", at); // neither a key nor within JSON
      }),
    "open",
  ],
  [
    "where the memory of an id is",
    (file) => eachPlace(file, idKey, (at) => file.writeUInt32LE(0, at + idKey.length)),
    "get",
  ],
])("damage to %s is reported and hides nothing", async (what, hurt, when) => {
  const store = await openLocalStore({ store: what, dataDir });
  const rows = Array.from({ length: 9 }, (_, n) =>
    rowOf({
      id: `id-${n}`,
      content: "",
      created_at: n === 7 ? "2025-06-07T08:09:10.111Z" : "2025-01-01T00:00:00Z",
    }),
  );
  await store.tenant("t").write(
    rows.map((row) => ({ row })),
    { outbox: true },
  );
  await store.close();
  const path = join(store.folder, "tables", "data.mdb");
  const bytes = readFileSync(path);
  hurt(bytes);
  writeFileSync(path, bytes);
  const opening = openLocalStore({ store: what, dataDir });
  const isDamaged = (error: unknown): boolean => isFederationError(error, "damaged");
  if (when === "open") return await expect(opening).rejects.toSatisfy(isDamaged);
  const again = await opening;
  expect(again.tenant("t").get("id-6")?.id).toBe("id-6");
  expect(() => again.tenant("t").get("id-7")).toThrow(expect.toSatisfy(isDamaged));
  await again.close();
});

test.each<[string, (tables: string) => void]>([
  ["are missing", (tables) => rmSync(tables, { recursive: true })],
  ["have no file", (tables) => rmSync(join(tables, "data.mdb"))],
  ["have an empty file", (tables) => truncateSync(join(tables, "data.mdb"))],
])("tables that %s are reported, and nothing is put in their place", async (how, hurt) => {
  const store = await openLocalStore({ store: how, dataDir });
  await store.tenant("t").write([{ row: rowOf({ id: "dear" }) }], { outbox: false });
  await store.close();
  const tables = join(store.folder, "tables");
  const bytes = readFileSync(join(tables, "data.mdb"));
  hurt(tables);
  const isDamaged = (error: unknown): boolean => isFederationError(error, "damaged");
  await expect(openLocalStore({ store: how, dataDir })).rejects.toSatisfy(isDamaged);
  const salvage = await salvageLocalStore({ store: how, dataDir });
  expect(salvage.report).toMatchObject({ tableRows: 0, brokenPlaces: 1 });
  await salvage.close();
  await expect(openLocalStore({ store: how, dataDir })).rejects.toThrow(/data\.mdb: it is missing or empty/);
  mkdirSync(tables, { recursive: true });
  writeFileSync(join(tables, "data.mdb"), bytes);
  const again = await openLocalStore({ store: how, dataDir });
  expect(again.tenant("t").get("dear")?.id).toBe("dear");
  await again.close();
});

test("what was never a database is not taken for an empty one", async () => {
  const store = await openLocalStore({ store: "foreign", dataDir });
  await store.close();
  writeFileSync(join(store.folder, "tables", "data.mdb"), "not a database at all".repeat(1_000));
  await expect(openLocalStore({ store: "foreign", dataDir })).rejects.toThrow(/data\.mdb: its first pages/);
});

/** A store opened on a copy of a folder as it was in the middle of its use, which is what a killed process leaves. */
async function abandoned(
  store: string,
  { durability = "process" }: { readonly durability?: Durability },
  rows: number,
  hurt: (journal: string) => void = () => {},
): Promise<LocalStore> {
  const used = await openLocalStore({ store: `${store}-used`, dataDir, durability });
  const copy = join(dataDir, folderName(store));
  const writes = Array.from({ length: rows }, (_, n) =>
    used.tenant("t").write([{ row: rowOf({ id: `id-${n}`, content: `content ${n}` }) }], { outbox: true }),
  );
  await Promise.all(writes); // acknowledged, and in the same turn nothing of it is in the tables
  cpSync(used.folder, copy, { recursive: true, filter: (path) => !/lock-\d+$/.test(path) });
  const [journal] = readdirSync(join(copy, "journal"));
  hurt(join(copy, "journal", journal ?? ""));
  await used.close();
  // The same boot, as after a kill: the lock file says so.
  const lock = readdirSync(used.folder).find((name) => name.startsWith("lock-")) ?? "";
  cpSync(join(used.folder, lock), join(copy, "lock-1"));
  return await openLocalStore({ store, dataDir });
}
