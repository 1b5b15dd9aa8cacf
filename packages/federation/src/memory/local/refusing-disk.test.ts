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
    const mount = mkdtempSync(join(tmpdir(), "federation-small-"));
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=6m", "tmpfs", mount]);
    afterAll(() => {
      spawnSync("umount", ["-l", mount]);
      rmSync(mount, { recursive: true, force: true });
    });
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
