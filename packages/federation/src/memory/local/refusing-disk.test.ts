import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import type { JournalFile } from "./journal-file.node.ts";
import { journalFiles } from "./journal-file.node.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { rowOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();
const isRoot = process.getuid?.() === 0;

test("a folder that is deleted under a running store ends writing, and nothing is acknowledged any more", async () => {
  const store = await openLocalStore({ store: "deleted", dataDir });
  const tenant = store.tenant("t");
  await tenant.write([{ row: rowOf({ id: "kept" }) }], { outbox: false });
  rmSync(store.folder, { recursive: true });
  const refused = tenant.write([{ row: rowOf({ id: "a" }) }], { outbox: false });
  await expect(refused).rejects.toSatisfy((error) => isFederationError(error, "storage"));
  await expect(refused).rejects.toThrow(/append to the journal.*deleted.*removed while the store was open/);
  await expect(tenant.write([{ row: rowOf({ id: "b" }) }], { outbox: false })).rejects.toThrow(
    /earlier write failed/,
  );
  expect(tenant.get("kept")?.id).toBe("kept");
  expect(tenant.get("a")).toBeUndefined();
  await expect(store.close()).rejects.toSatisfy((error) => isFederationError(error, "storage"));
});

test("tables that are deleted under a running store end writing, and the journal keeps what they were to have", async () => {
  const store = await openLocalStore({ store: "tables deleted", dataDir });
  const tenant = store.tenant("t");
  rmSync(join(store.folder, "tables"), { recursive: true });
  await tenant.write([{ row: rowOf({ id: "kept" }) }], { outbox: true });
  await expect(store.flush()).rejects.toSatisfy((error) => isFederationError(error, "storage"));
  await expect(tenant.write([{ row: rowOf({ id: "late" }) }], { outbox: true })).rejects.toMatchObject({
    cause: { message: expect.stringContaining("was deleted while it was in use") as string },
  });
  await store.close().catch(() => {});
  const again = await openLocalStore({ store: "tables deleted", dataDir });
  expect(again.tenant("t").get("kept")?.id).toBe("kept");
  await again.close();
});

test("a store whose folder was deleted writes nothing into another store's that has its place", async () => {
  const first = await openLocalStore({ store: "replaced", dataDir });
  await first.tenant("t").write([{ row: rowOf({ id: "first" }) }], { outbox: false });
  await first.flush(); // the next write begins a file
  rmSync(first.folder, { recursive: true });
  const second = await openLocalStore({ store: "replaced", dataDir });
  const refused = first.tenant("t").write([{ row: rowOf({ id: "astray" }) }], { outbox: false });
  await expect(refused).rejects.toThrow(/was deleted while it was in use/);
  await second.tenant("t").write([{ row: rowOf({ id: "second" }) }], { outbox: false });
  await first.close().catch(() => {});
  await second.close();
  const again = await openLocalStore({ store: "replaced", dataDir });
  expect(["first", "astray", "second"].map((id) => again.tenant("t").get(id)?.id)).toEqual([
    undefined,
    undefined,
    "second",
  ]);
  await again.close();
});

test("a write that the disk refuses is refused, does not come back, and what was acknowledged stays", async () => {
  let isFull = false;
  const create = (path: string): JournalFile => {
    const file = journalFiles.create(path);
    // As a full disk does it: a part is written, then ENOSPC.
    const append = (chunks: readonly Uint8Array[]): void => {
      file.append(isFull ? chunks.slice(0, 2) : chunks);
      if (isFull)
        throw Object.assign(new Error("ENOSPC: no space left on device, writev"), { code: "ENOSPC" });
    };
    return {
      append,
      appendLater: (chunks) => Promise.resolve(append(chunks)),
      sync: () => file.sync(),
      isDeleted: () => file.isDeleted(),
      truncate: (sizeBytes) => file.truncate(sizeBytes),
      close: () => file.close(),
    };
  };
  const files = { create, syncFolder: (path: string) => journalFiles.syncFolder(path) };
  const store = await openLocalStore({ store: "full", dataDir, files });
  const tenant = store.tenant("t");
  await tenant.write([{ row: rowOf({ id: "kept" }) }], { outbox: true });
  isFull = true;
  const results = await Promise.allSettled(
    ["a", "b"].map((id) => tenant.write([{ row: rowOf({ id }) }], { outbox: true })),
  );
  expect(results.map((result) => result.status)).toEqual(["rejected", "rejected"]);
  await expect(tenant.writeFact("x", "y")).rejects.toThrow(/ENOSPC|earlier write failed/);
  await store.close().catch(() => {});
  const again = await openLocalStore({ store: "full", dataDir });
  expect(["kept", "a", "b"].map((id) => again.tenant("t").get(id)?.id)).toEqual([
    "kept",
    undefined,
    undefined,
  ]);
  await again.close();
});

test.runIf(isRoot && process.platform === "linux").each([
  ["", undefined],
  [", a thread that writes the tables too", 0],
])(
  "a disk that fills up loses nothing acknowledged, whoever meets it first%s, and the store opens again when there is room",
  async (_, threadFrom) => {
    const mount = mountSmall();
    let last: unknown;
    const acknowledged: string[] = [];
    const store = await openLocalStore({ store: "s", dataDir: mount, threadFrom });
    for (let n = 0; last === undefined && n < 5_000; n++) {
      const id = `id-${n}`;
      await store
        .tenant("t")
        .write([{ row: rowOf({ id, content: "word ".repeat(400) }) }], { outbox: true })
        .then(
          () => acknowledged.push(id),
          (error: unknown) => (last = error),
        );
    }
    expect(isFederationError(last, "storage")).toBe(true);
    expect(String(last)).toMatch(/no space|ENOSPC|earlier write failed/i);
    await store.close().catch(() => {});

    execFileSync("mount", ["-o", "remount,size=64m", mount]);
    const again = await openLocalStore({ store: "s", dataDir: mount });
    const missing = acknowledged.filter((id) => again.tenant("t").get(id) === undefined);
    expect(missing).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(100);
    await again.tenant("t").write([{ row: rowOf({ id: "after" }) }], { outbox: false });
    await again.close();
  },
);

test.runIf(isRoot && process.platform === "linux")(
  "a store on a disk that is read-only is not opened, says why, and is all there when it may be written again",
  async () => {
    const mount = mountSmall();
    const store = await openLocalStore({ store: "s", dataDir: mount });
    await store.tenant("t").write([{ row: rowOf({ id: "kept" }) }], { outbox: true });
    await store.close();
    execFileSync("mount", ["-o", "remount,ro", mount]);
    const refused = openLocalStore({ store: "s", dataDir: mount });
    await expect(refused).rejects.toSatisfy((error) => isFederationError(error, "storage"));
    await expect(refused).rejects.toThrow(/lock .*EROFS.*FEDERATION_DATA_DIR/);
    execFileSync("mount", ["-o", "remount,rw", mount]);
    const again = await openLocalStore({ store: "s", dataDir: mount });
    expect(again.tenant("t").counts(0)).toEqual({ living: 1, pending: 1, dead: 0 });
    await again.close();
  },
);

test.runIf(isRoot && process.platform === "linux")(
  "a folder that may not be written says so, and what to do",
  () => {
    const folder = join(dataDir, "read-only");
    mkdirSync(folder, { mode: 0o755 });
    execFileSync("chmod", ["755", dataDir]);
    const script = fileURLToPath(new URL("testing/open-as-nobody.node.ts", import.meta.url));
    const args = ["--import", "tsx", "--conditions=@agent-federation/source", script, folder];
    const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
    expect(stdout).toMatch(/^storage: make .*EACCES.*FEDERATION_DATA_DIR/);
  },
);

/** A disk of six megabytes, until all tests are through. */
function mountSmall(): string {
  const mount = mkdtempSync(join(tmpdir(), "federation-small-"));
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", mount]);
  afterAll(() => {
    spawnSync("umount", ["-l", mount]);
    rmSync(mount, { recursive: true, force: true });
  });
  return mount;
}
