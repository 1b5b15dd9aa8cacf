import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { sourcesOf } from "./research-team/logic/report.ts";
import { startTestStack } from "../test-support/stack.ts";
import { migrationsFolder, settingsOf } from "./support/project.ts";
import { ExampleRun } from "./support/run-example.ts";

// Each test waits for several processes to start, on a machine that may be busy.
const slow = 180_000;

let folder: string;
let stack: Awaited<ReturnType<typeof startTestStack>>;
const runs: ExampleRun[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "agent-federation-examples-"));
  stack = await startTestStack({ migrationsDir: migrationsFolder });
});
afterEach(() => {
  for (const each of runs.splice(0)) each.kill();
});
afterAll(async () => {
  await stack?.close();
  rmSync(folder, { recursive: true, force: true });
});

const run = (
  file: string,
  args: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): ExampleRun => {
  const started = new ExampleRun(file, args, environment);
  runs.push(started);
  return started;
};
const start = async (...args: string[]): Promise<ExampleRun> =>
  run("examples/start/main.ts", [
    "--port",
    String(await freePort()),
    "--report",
    join(folder, "report.md"),
    ...args,
  ]);

test(
  "npm start -- --once: a Supabase, three agents that find each other, talk, share and hand over, a report, and nothing left",
  { timeout: slow },
  async () => {
    const started = await start("--once");
    expect([
      await started.ended(),
      started.errors.split("\n").filter((line) => line.includes("finish")),
    ]).toEqual([0, []]);
    for (const name of [
      "SUPABASE_URL",
      "SUPABASE_ANON_KEY",
      "SUPABASE_SERVICE_ROLE_KEY",
      "SUPABASE_JWT_SECRET",
    ]) {
      expect(started.output).toMatch(new RegExp(`^${name}=\\S+$`, "m"));
    }
    for (const agent of ["researcher-001", "analyst-001", "writer-001"]) {
      expect(started.output).toMatch(new RegExp(`^ .* ${agent} +joins `, "m"));
      expect(started.output).toMatch(new RegExp(`^ .* ${agent} +leaves`, "m"));
    }
    const report = readFileSync(join(folder, "report.md"), "utf8");
    expect(sourcesOf(report).length).toBeGreaterThanOrEqual(6);
    expect(started.output).toContain(report);
    // oxlint-disable-next-line no-control-regex -- colour is what must not be there
    expect(started.output).not.toMatch(/\u001b/);
  },
);

test(
  "npm start stays up when the team has finished, and ends well at Ctrl-C",
  { timeout: slow },
  async () => {
    const started = await start();
    await started.printed("stays up");
    const [, url = ""] = /^SUPABASE_URL=(\S+)$/m.exec(started.output) ?? [];
    const [, anonKey = ""] = /^SUPABASE_ANON_KEY=(\S+)$/m.exec(started.output) ?? [];
    const rpc = `${url}/rest/v1/rpc/schema_version`;
    const answer = await fetch(rpc, {
      method: "POST",
      headers: { apikey: anonKey, "content-type": "application/json" },
      body: "{}",
    });
    expect(await answer.json()).toBe(7);
    started.child.kill("SIGINT");
    expect(await started.ended()).toBe(0);
    await expect(fetch(rpc)).rejects.toThrow("fetch failed");
  },
);

test(
  "Ctrl-C while the agents work ends all of it, and says so by its exit code",
  { timeout: slow },
  async () => {
    const started = await start();
    await started.printed("joins");
    started.child.kill("SIGINT");
    expect(await started.ended()).toBe(130);
  },
);

test("the agents of a killed npm start end by themselves", { timeout: slow }, async () => {
  const started = await start();
  await started.printed("joins");
  started.child.kill("SIGKILL");
  // Their output is the one that it had: its end is theirs.
  expect(await started.ended()).toBe(-1);
});

test(
  "a taken port, a data folder that is none, and an unknown option are one clear line each",
  { timeout: slow },
  async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address !== null ? address.port : 0;
    const refused = run("examples/start/main.ts", ["--once", "--port", String(port)]);
    expect(await refused.ended()).toBe(1);
    expect(refused.errors).toMatch(new RegExp(`^npm start: .*${port}.*\\n$`, "m"));
    taken.close();

    const file = join(folder, "a-file");
    writeFileSync(file, "");
    const unwritable = await start("--once", "--data-dir", join(file, "data"));
    expect(await unwritable.ended()).toBe(1);
    expect(unwritable.errors).toMatch(/^npm start: .*a-file.*\n$/m);

    const mistyped = run("examples/start/main.ts", ["--onse"]);
    expect(await mistyped.ended()).toBe(2);
    expect(mistyped.errors).toMatch(/^npm start: Unknown option '--onse'.*--help.*\n$/);
  },
);

test(
  "the guide's example command runs against the Supabase of the environment",
  { timeout: slow },
  async () => {
    const example = run("examples/realtime-federation-example.ts", [], settingsOf(stack));
    expect([await example.ended(), example.errors]).toEqual([
      0,
      `Using the Supabase project at ${stack.url}\n`,
    ]);
    expect(example.output).toContain("Done: 2 agents, 2 memories");
  },
);

test("a Supabase that is not there is one clear line", { timeout: slow }, async () => {
  const example = run("examples/realtime-federation-example.ts", [], {
    ...settingsOf(stack),
    SUPABASE_URL: "http://127.0.0.1:1",
  });
  expect(await example.ended()).toBe(1);
  expect(example.errors.trim().split("\n")).toEqual([
    "Using the Supabase project at http://127.0.0.1:1",
    expect.stringContaining("http://127.0.0.1:1"),
  ]);
});

test(
  "workers that are killed and join late: every task ends, on a local Supabase that it starts",
  { timeout: slow },
  async () => {
    const balanced = run("examples/load-balancing/main.ts");
    const code = await balanced.ended();
    expect([code, balanced.errors.split("\n").filter((line) => line.startsWith("failed"))]).toEqual([0, []]);
    expect(balanced.output).toMatch(/worker-2 is killed with 1 task in hand/);
    expect(balanced.output).toMatch(/worker-2 is gone, somebody else does primes-\d\d/);
    expect(balanced.output).toContain("All 24 tasks are done: 92938 primes");
  },
);

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const address = probe.address();
  probe.close();
  await once(probe, "close");
  return typeof address === "object" && address !== null ? address.port : 0;
}
