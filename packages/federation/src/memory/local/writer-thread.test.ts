import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import type { LocalStore, LocalWrite } from "./local-store.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { Tables } from "./tables.node.ts";
import { rowOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";
import { TablesInThread, WriterThread } from "./writer-thread.node.ts";

const dataDir = temporaryFolder();

const opened = (store: string, threadFrom = 0): Promise<LocalStore> =>
  openLocalStore({ store, dataDir, threadFrom });
const writesOf = (name: string, count: number): LocalWrite[] =>
  Array.from({ length: count }, (_, n) => ({
    row: rowOf({ id: `${name}-${n}`, content: `${name} number ${n}`, metadata: { even: n % 2 === 0 } }),
  }));
const wordsOf = async (store: LocalStore, text: string): Promise<string[]> =>
  (await store.tenant("t").searchWords({ text, nowMs: 0, limit: 5 })).map(({ row }) => row.id);

test("from some changes on a thread writes the tables, and what was written before and after is found alike", async () => {
  const store = await opened("both", 100);
  const tenant = store.tenant("t");
  await tenant.write(writesOf("early", 60), { outbox: false });
  await store.flush();
  await tenant.write(writesOf("late", 60), { outbox: false });
  await tenant.write([{ row: rowOf({ id: "early-7", content: "changed meanwhile", version: 2 }) }], {
    outbox: true,
  });
  await tenant.forget(["early-8", "late-8"]);
  await store.flush();
  await tenant.write([{ row: rowOf({ id: "new", agent_id: "another", content: "of a new name" }) }], {
    outbox: false,
  });
  const look = async (from: LocalStore): Promise<void> => {
    expect(await wordsOf(from, "early number 9")).toContain("early-9");
    expect(await wordsOf(from, "late number 9")).toContain("late-9");
    expect(await wordsOf(from, "meanwhile")).toEqual(["early-7"]);
    const gone = await from.tenant("t").searchWords({ text: "number 8", nowMs: 0, limit: 200 });
    expect(gone.map(({ row }) => row.id).filter((id) => /-8$|^early-7$/.test(id))).toEqual([]);
    const even = await from
      .tenant("t")
      .newest({ filter: { metadata: { even: true } }, nowMs: 0, limit: 200 });
    expect(even).toHaveLength(58);
    const another = await from.tenant("t").newest({ filter: { agent: "another" }, nowMs: 0, limit: 9 });
    expect(another.map(({ id }) => id)).toEqual(["new"]);
  };
  await look(store);
  await store.close();
  const again = await opened("both", 100);
  await look(again);
  expect(again.tenant("t").counts(0)).toEqual({ living: 119, pending: 1, dead: 0 });
  await again.close();
});

test("a store that is closed while it writes has everything acknowledged in the tables", async () => {
  const store = await opened("closing");
  const tenant = store.tenant("t");
  await Promise.all([1, 2, 3].map((n) => tenant.write(writesOf(`w${n}`, 500), { outbox: true })));
  await store.close();
  expect(readdirSync(join(store.folder, "journal"))).toEqual([]);
  const again = await opened("closing");
  expect(again.tenant("t").counts(0)).toEqual({ living: 1_500, pending: 1_500, dead: 0 });
  await again.close();
});

test("a store whose tables the thread cannot open stops writing, and no other does", async () => {
  const [store, other] = await Promise.all([opened("unopened"), opened("other")]);
  const tenant = store.tenant("t");
  const tables = join(store.folder, "tables");
  rmSync(tables, { recursive: true });
  writeFileSync(tables, "no folder: the thread cannot open it");
  await tenant.write(writesOf("kept", 20), { outbox: true });
  await expect(store.flush()).rejects.toThrow(/earlier write failed/);
  const refused = tenant.write(writesOf("refused", 1), { outbox: true });
  await expect(refused).rejects.toSatisfy((error) => isFederationError(error, "storage"));
  expect(tenant.get("kept-19")?.content).toBe("kept number 19");
  await expect(store.close()).rejects.toSatisfy((error) => isFederationError(error, "storage"));

  await other.tenant("t").write(writesOf("other", 20), { outbox: false });
  await other.close();
  expect(readdirSync(join(other.folder, "journal"))).toEqual([]);

  rmSync(tables);
  const again = await opened("unopened");
  expect(again.tenant("t").counts(0)).toEqual({ living: 20, pending: 20, dead: 0 });
  expect(again.tenant("t").get("refused-0")).toBeUndefined();
  await again.close();
});

test("stores that write at once share the thread, and each has its own", async () => {
  const stores = await Promise.all(["one", "two", "three"].map((name) => opened(name)));
  await Promise.all(
    stores.map((store, at) => store.tenant("t").write(writesOf(`s${at}`, 300 + at), { outbox: true })),
  );
  await Promise.all(stores.map((store) => store.close()));
  for (const [at, name] of ["one", "two", "three"].entries()) {
    const again = await opened(name);
    expect(again.tenant("t").counts(0).living).toBe(300 + at);
    expect(again.tenant("t").get(`s${at}-299`)?.content).toBe(`s${at} number 299`);
    await again.close();
  }
});

test("when the thread ends, what was asked of it fails with why, and the next store gets another", async () => {
  const thread = new WriterThread(new URL("testing/ending-thread.node.js", import.meta.url));
  const tables = new TablesInThread(join(dataDir, "ended"), thread);
  const batch = { tenants: [], changes: [] };
  await expect(tables.apply(batch)).rejects.toThrow("the thread that writes them ended: it ended with 3");
  await expect(thread.ask({ type: "close", store: 1 })).rejects.toThrow("it ended with 3");
  await tables.close();
  expect(WriterThread.ofProcess).not.toBe(thread);
});

test("damage that the thread meets is told as such", async () => {
  const store = await opened("rotten");
  await store
    .tenant("t")
    .write([{ row: rowOf({ id: "bad", content: "easy to find in a file" }) }], { outbox: false });
  await store.close();
  const path = join(store.folder, "tables", "data.mdb");
  const bytes = readFileSync(path);
  for (let at = bytes.indexOf("easy to"); at !== -1; at = bytes.indexOf("easy to", at + 1))
    bytes.write("E", at);
  writeFileSync(path, bytes);
  const again = await opened("rotten");
  await again.tenant("t").write([{ row: rowOf({ id: "bad", content: "another" }) }], { outbox: false });
  const failed = again.flush();
  await expect(failed).rejects.toSatisfy((error) => isFederationError(error, "storage"));
  await expect(failed).rejects.toMatchObject({ cause: { code: "damaged" } });
  await again.close().catch(() => {});
});

test("a process that ends while the thread is within a transaction ends, and nothing of that is in the tables", async () => {
  const script = fileURLToPath(new URL("testing/exit-child.node.ts", import.meta.url));
  const path = join(dataDir, "exit");
  const args = ["--import", "tsx", "--conditions=@agent-federation/source", script, path];
  const options = { encoding: "utf8", timeout: 60_000, killSignal: "SIGKILL" } as const;
  const { status, stderr } = spawnSync(process.execPath, args, options);
  expect({ status, stderr }).toEqual({ status: 7, stderr: "" });
  const tables = new Tables(path);
  expect({ applied: tables.applied, rows: tables.countRows() }).toEqual({ applied: 0, rows: 0 });
  await tables.close();
}, 90_000);
