import { createClient } from "@supabase/supabase-js";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import WebSocket from "ws";
import { serversAndThreads, startTestStack } from "../../../test-support/stack.ts";
import { isLocalSupabaseError } from "./index.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lifetime-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

function privateFolders(): string[] {
  return readdirSync(tmpdir()).filter(
    (name) => name.startsWith("supabase-local-") && name.includes(`-${process.pid}-`),
  );
}

test("nothing of a closed stack still runs", async () => {
  const before = { resources: serversAndThreads(), folders: privateFolders() };
  const stack = await startTestStack();
  const client = createClient(stack.url, stack.anonKey, { realtime: { transport: WebSocket as never } });
  const channel = client.channel("room");
  await new Promise<void>((joined) => channel.subscribe((status) => status === "SUBSCRIBED" && joined()));
  expect(serversAndThreads()).not.toEqual(before.resources);

  const closing = stack.close();
  expect(stack.close()).toBe(closing);
  await closing;
  expect(await stack.closed).toEqual({ reason: "closed" });
  await client.realtime.disconnect();
  await expect.poll(serversAndThreads).toEqual(before.resources);
  expect(privateFolders()).toEqual(before.folders);
  await expect(fetch(stack.url)).rejects.toThrow("fetch failed");
});

test("a failed start leaves nothing behind: no port, no lock, no thread", async () => {
  const migrationsDir = join(folder, "migrations");
  const dataDir = join(folder, "data");
  const before = serversAndThreads();
  const port = await freePort();
  await startTestStack({ port, dataDir }).then((stack) => stack.close());
  writeMigration("select nonsense");
  const failed = startTestStack({ port, dataDir, migrationsDir });
  await expect(failed).rejects.toSatisfy((error) => isLocalSupabaseError(error, "migration-failed"));
  expect(existsSync(join(dataDir, "lock"))).toBe(false);
  await expect.poll(serversAndThreads).toEqual(before);
  writeMigration("select 1");
  const stack = await startTestStack({ port, dataDir, migrationsDir });
  expect(stack.url).toBe(`http://127.0.0.1:${port}`);
  await stack.close();

  function writeMigration(script: string): void {
    rmSync(migrationsDir, { recursive: true, force: true });
    mkdirSync(migrationsDir);
    writeFileSync(join(migrationsDir, "20260101000000_one.sql"), script);
  }
});

test("a signal ends the stack", async () => {
  const controller = new AbortController();
  const stack = await startTestStack({ signal: controller.signal });
  controller.abort();
  expect(await stack.closed).toEqual({ reason: "closed" });
  await stack.close();
});

test("a signal that is aborted while the stack starts makes the start reject", async () => {
  const controller = new AbortController();
  const starting = startTestStack({ dataDir: folder, signal: controller.signal });
  controller.abort(new Error("changed my mind"));
  await expect(starting).rejects.toThrow("changed my mind");
  expect(existsSync(join(folder, "lock"))).toBe(false);
});

test("a start that waits for a slow migration ends when its signal is aborted", async () => {
  const before = serversAndThreads();
  writeFileSync(join(folder, "20260101000000_slow.sql"), "select pg_sleep(600)");
  const controller = new AbortController();
  const starting = startTestStack({
    migrationsDir: folder,
    signal: controller.signal,
    log: (_level, message) => {
      if (message === "a migration is applied") controller.abort(new Error("changed my mind"));
    },
  });
  await expect(starting).rejects.toThrow("changed my mind");
  await expect.poll(serversAndThreads).toEqual(before);
  expect(privateFolders()).toEqual([]);
});

test("two stacks in one process know nothing of each other", async () => {
  const [one, other] = await Promise.all([startTestStack(), startTestStack()]);
  expect(one.anonKey).not.toBe(other.anonKey);
  const foreign = await fetch(`${one.url}/rest/v1/`, { headers: { apikey: other.anonKey } });
  expect(foreign.status).toBe(401);
  await Promise.all([one.close(), other.close()]);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  return typeof address === "object" && address !== null ? address.port : 0;
}
