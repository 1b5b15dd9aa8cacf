import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { startRestartable } from "../../bench/harness/restartable.ts";
import type { LocalSupabase } from "../../packages/local-supabase/src/index.ts";
import { nativeUrl } from "../database.ts";
import { migrationsDir } from "../sql-files.ts";
import { startTestStack } from "../stack.ts";
import { surviveRestarts } from "./restarts.ts";
import { failureOf, soak } from "./soak.ts";

let stack: LocalSupabase;
beforeAll(async () => {
  stack = await startTestStack({ migrationsDir });
}, 120_000);
afterAll(() => stack.close());

test("a few random histories lose, repeat and disorder nothing; npm run soak lives through many", async () => {
  const details = await soak(stack, { seed: 5, runs: 2, maxSteps: 12, tasks: false, serverRestarts: false });
  expect(failureOf(details)).toBeUndefined();
}, 180_000);

// Its server has a database of its own, so that one run of it is enough.
test.skipIf(nativeUrl !== undefined)(
  "a server killed in the middle of traffic comes back, and its hubs with it; npm run proof:restart kills it ten times",
  async () => {
    const dataDir = await mkdtemp(join(tmpdir(), "agent-federation-restart-"));
    const server = await startRestartable(dataDir);
    try {
      const { violations, acknowledged } = await surviveRestarts(server, {
        restarts: 1,
        sendsEach: 20,
        tasks: false,
        tell: () => {},
      });
      expect(violations).toEqual([]);
      expect(acknowledged).toBeGreaterThan(0);
    } finally {
      await server.close();
      await rm(dataDir, { recursive: true, force: true });
    }
  },
  180_000,
);
