import { createClient, type SupabaseClient } from "@supabase/supabase-js";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import WebSocket from "ws";
import { RunningCommand } from "../testing/run-command.ts";

// Each test starts processes; the first one of a machine prepares the database as well.
vi.setConfig({ testTimeout: 120_000 });

let folder: string;
let data: string;
let started: RunningCommand[];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "command-"));
  data = join(folder, "data");
  started = [];
});
afterEach(async () => {
  for (const command of started) await command.end("SIGKILL");
  rmSync(folder, { recursive: true });
});

/** Temporary files in a folder of its own, so that what is left behind can be seen. */
function run(...words: string[]): RunningCommand {
  const tmp = join(folder, "tmp");
  mkdirSync(tmp, { recursive: true });
  const command = new RunningCommand(words, { TMPDIR: tmp });
  started.push(command);
  return command;
}

function leftBehind(): string[] {
  return readdirSync(join(folder, "tmp")).filter((name) => !name.startsWith("tsx-"));
}

function writeMigrations(): string {
  const migrations = join(folder, "migrations");
  mkdirSync(migrations, { recursive: true });
  writeFileSync(
    join(migrations, "20260101000000_notes.sql"),
    "create table public.notes (id int primary key); grant all on public.notes to service_role;",
  );
  return migrations;
}

function service(variables: Readonly<Record<string, string>>): SupabaseClient {
  return createClient(variables["SUPABASE_URL"] ?? "", variables["SUPABASE_SERVICE_ROLE_KEY"] ?? "", {
    realtime: { transport: WebSocket as never },
  });
}

test("prints what .env needs, and SIGINT ends it with 0 and nothing left behind", async () => {
  const command = run("--port", "0");
  const variables = await command.up();
  expect(Object.keys(variables)).toEqual([
    "SUPABASE_URL",
    "SUPABASE_ANON_KEY",
    "SUPABASE_SERVICE_ROLE_KEY",
    "SUPABASE_PUBLISHABLE_KEY",
    "SUPABASE_SECRET_KEY",
    "SUPABASE_JWT_SECRET",
  ]);
  expect((await fetch(variables["SUPABASE_URL"] ?? "")).status).toBe(200);
  expect(await command.end("SIGINT")).toBe(0);
  expect(leftBehind()).toEqual([]);
});

test("SIGTERM while it starts ends it with 143 and nothing left behind", async () => {
  const command = run("--port", "0", "--data-dir", data);
  await expect.poll(() => existsSync(join(data, "lock")), { timeout: 20_000 }).toBe(true);
  expect(await command.end("SIGTERM")).toBe(143);
  expect(existsSync(join(data, "lock"))).toBe(false);
  expect(leftBehind()).toEqual([]);
});

test("after kill -9 the same folder opens with the same data and keys", async () => {
  const words = ["--port", "0", "--data-dir", data, "--migrations", writeMigrations()];
  const first = run(...words);
  const before = await first.up();
  for (let id = 0; id < 50; id++) {
    expect((await service(before).from("notes").insert({ id })).error).toBeNull();
  }
  await first.end("SIGKILL");
  expect(existsSync(join(data, "lock"))).toBe(true);

  const second = run(...words);
  const after = await second.up();
  for (const name of ["SUPABASE_ANON_KEY", "SUPABASE_SECRET_KEY", "SUPABASE_JWT_SECRET"]) {
    expect(after[name]).toBe(before[name]);
  }
  const { count } = await service(after).from("notes").select("*", { count: "exact", head: true });
  expect(count).toBe(50);
  expect(second.stderr).not.toContain("applied");
});

test("a second process on the same folder is refused while the first has it", async () => {
  const first = run("--port", "0", "--data-dir", data);
  await first.up();
  const second = run("--port", "0", "--data-dir", data);
  expect(await second.exited()).toBe(1);
  expect(second.stderr).toContain(`process ${first.process.pid}`);
  expect(await first.end("SIGINT")).toBe(0);
});

test("two that start at once with an empty cache both come up", async () => {
  const env = { SUPABASE_LOCAL_CACHE: join(folder, "cache") };
  const both = [new RunningCommand(["--port", "0"], env), new RunningCommand(["--port", "0"], env)];
  started.push(...both);
  await Promise.all(both.map((command) => command.up()));
  expect(both.some((command) => command.stderr.includes("first start"))).toBe(true);
  expect(readdirSync(env.SUPABASE_LOCAL_CACHE)).toEqual([expect.stringMatching(/^prepared-/)]);
});

test("a cache that cannot be written is no obstacle", async () => {
  writeFileSync(join(folder, "file"), "");
  const command = new RunningCommand(["--port", "0"], {
    SUPABASE_LOCAL_CACHE: join(folder, "file", "cache"),
  });
  started.push(command);
  await command.up();
});

describe("refuses with one clear line and a remedy", () => {
  test.each([
    ["an unknown option", ["--prot", "1"], 2, "--prot"],
    ["a port that is none", ["--port", "many"], 2, '--port: expected a number, got "many"'],
    ["a plan that is none", ["--limits", "gold"], 2, "--limits: expected off, free, pro or team"],
    ["a port out of range", ["--port", "70000"], 1, "port: expected 0 to 65535, got 70000"],
    ["a short secret", ["--jwt-secret", "short"], 1, "jwtSecret: expected at least 32 characters, got 5"],
    [
      "a missing migrations folder",
      ["--port", "0", "--migrations", "/nowhere"],
      1,
      "read the migrations folder /nowhere",
    ],
    [
      "a database that is not there",
      ["--port", "0", "--database-url", "postgresql://x@127.0.0.1:1/x"],
      1,
      "ECONNREFUSED",
    ],
    ["a database URL that is none", ["--port", "0", "--database-url", "x"], 1, "Correct the database URL"],
    ["an address of another machine", ["--port", "0", "--host", "192.0.2.1"], 1, "listen on 192.0.2.1:0"],
  ])("%s", async (_name, words, code, text) => {
    const command = run(...words);
    expect(await command.exited()).toBe(code);
    expect(command.stderr).toContain(text);
    expect(command.stderr).not.toContain("    at ");
    expect(command.stdout).toBe("");
    expect(leftBehind()).toEqual([]);
  });

  test("a taken port", async () => {
    const server = createServer();
    await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
    const { port } = server.address() as AddressInfo;
    const command = run("--port", String(port), "--data-dir", data);
    expect(await command.exited()).toBe(1);
    expect(command.stderr).toContain(`listen on 127.0.0.1:${port}: something else listens there`);
    expect(existsSync(join(data, "lock"))).toBe(false);
    server.close();
  });

  test("a data folder that cannot be written", async () => {
    writeFileSync(join(folder, "file"), "");
    const command = run("--port", "0", "--data-dir", join(folder, "file", "data"));
    expect(await command.exited()).toBe(1);
    expect(command.stderr).toContain("open the data folder");
  });

  test("a migration that fails", async () => {
    const migrations = writeMigrations();
    writeFileSync(join(migrations, "20260102000000_broken.sql"), "select 1;\nselect nonsense;");
    const command = run("--port", "0", "--data-dir", data, "--migrations", migrations);
    expect(await command.exited()).toBe(1);
    expect(command.stderr).toContain(
      '20260102000000_broken.sql:2:8: column "nonsense" does not exist (42703)',
    );
    expect(existsSync(join(data, "lock"))).toBe(false);
  });
});

test("--help and --version", async () => {
  const help = run("--help");
  expect(await help.exited()).toBe(0);
  expect(help.stdout).toContain("usage: supabase-local");
  const version = run("--version");
  expect(await version.exited()).toBe(0);
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});
