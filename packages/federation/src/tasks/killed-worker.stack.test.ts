import { expect, test } from "vitest";
import { useHubBench } from "../testing/hub-bench.node.ts";
import { strikeWorker, WorkerProcess } from "./testing/kill-trial.node.ts";

const bench = useHubBench();

// A share of `npm run proof:tasks`, which kills fifty times and freezes.
test(
  "the tasks of a worker that is killed are done by another, each once",
  { timeout: 120_000 },
  async () => {
    const { url, anonKey, jwtSecret } = bench.stack;
    const place = { url, anonKey, jwtSecret, tenant: bench.tenant };
    const boss = await bench.open("boss");
    const victim = await WorkerProcess.start("victim", place);
    bench.defer(() => victim.end());
    const other = await bench.open("other");
    const stop = new AbortController();
    let working: Promise<void> | undefined;
    bench.defer(() => working);
    const { held, elsewhereMs, wrong } = await strikeWorker({
      boss,
      victim,
      tasks: ["a", "b", "c", "d"],
      takesMs: 60_000,
      strike: async (worker) => {
        worker.signal("SIGKILL");
        working = other.work(() => "done", { signal: stop.signal });
      },
    });
    stop.abort();
    expect(wrong).toEqual([]);
    expect(held.length).toBeGreaterThan(0);
    expect(elsewhereMs).toHaveLength(held.length);
  },
);
