import { spawn } from "node:child_process";
import type { ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { afterAll, expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import { isRecord } from "../../runtime/json.ts";
import { lockFolder } from "./lock.node.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();
const children: Child[] = [];
afterAll(() => children.forEach(({ process }) => process.kill("SIGKILL")));

test("a second process is told which one has the folder, and takes it over once that is dead", async () => {
  const first = await startChild("taken");
  expect(await first.open()).toBe("open");
  const refused = openLocalStore({ store: "taken", dataDir });
  await expect(refused).rejects.toSatisfy((error) => isFederationError(error, "locked"));
  await expect(refused).rejects.toThrow(
    new RegExp(`in use by process ${first.process.pid} on ${hostname()} since 20`),
  );
  await first.kill();
  const store = await openLocalStore({ store: "taken", dataDir });
  await store.close();
});

test(
  "of many processes that take over a dead one's folder at once, one gets it",
  { timeout: 120_000 },
  async () => {
    const dead = await startChild("raced");
    expect(await dead.open()).toBe("open");
    await dead.kill();
    const takers = await Promise.all(Array.from({ length: 5 }, () => startChild("raced")));
    const answers = await Promise.all(takers.map((taker) => taker.open()));
    expect(answers.filter((answer) => answer === "open")).toHaveLength(1);
    const winner = takers[answers.indexOf("open")]?.process.pid;
    for (const answer of answers) if (answer !== "open") expect(answer).toContain(`process ${winner} on`);
  },
);

test("two stores of one process do not share a folder", async () => {
  const store = await openLocalStore({ store: "own", dataDir });
  await expect(openLocalStore({ store: "own", dataDir })).rejects.toThrow(/in use by this process/);
  await store.close();
  await (await openLocalStore({ store: "own", dataDir })).close();
});

test("a process that has the number of a dead one does not have its lock", () => {
  const folder = join(dataDir, "reused");
  mkdirSync(folder);
  const lock = lockFolder(folder);
  const [name = ""] = readdirSync(folder);
  const holder: unknown = JSON.parse(readFileSync(join(folder, name), "utf8"));
  expect(() => lockFolder(folder)).toThrow(/in use/);
  if (!isRecord(holder) || typeof holder["started"] !== "string") return; // this system does not tell when a process started
  writeFileSync(join(folder, name), JSON.stringify({ ...holder, started: "1" }));
  expect(lockFolder(folder).previous?.pid).toBe(process.pid);
  lock.release();
});

test("a lock of another machine is respected, and an unreadable one is not", () => {
  const folder = join(dataDir, "elsewhere");
  mkdirSync(folder);
  writeFileSync(
    join(folder, "lock-3"),
    JSON.stringify({ pid: 1, host: "elsewhere", since: "2026-01-01T00:00:00.000Z" }),
  );
  expect(() => lockFolder(folder)).toThrow(/process 1 on elsewhere since 2026-01-01.*delete the files/);
  writeFileSync(join(folder, "lock-3"), "");
  lockFolder(folder);
  expect(readdirSync(folder)).toEqual(["lock-4"]);
});

interface Child {
  readonly process: ChildProcessByStdio<Writable, Readable, null>;
  /** Tells it to open the store; its answer. */
  open(): Promise<string>;
  kill(): Promise<void>;
}

async function startChild(store: string): Promise<Child> {
  const script = fileURLToPath(new URL("testing/lock-child.node.ts", import.meta.url));
  const args = ["--import", "tsx", "--conditions=@agent-federation/source", script, dataDir, store];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => String((await lines.next()).value);
  const started: Child = {
    process: child,
    async open() {
      child.stdin.write("open\n");
      return await nextLine();
    },
    async kill() {
      const exited = once(child, "exit");
      child.kill("SIGKILL");
      await exited;
    },
  };
  children.push(started);
  expect(await nextLine()).toBe("ready");
  return started;
}
