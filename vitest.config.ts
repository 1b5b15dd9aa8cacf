import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Tests read the packages' source. The condition is needed in all three places, the last one for the global set-up file.
const conditions = ["@agent-federation/source"];
const source = {
  resolve: { conditions },
  environments: { ssr: { resolve: { conditions } }, __vitest__: { resolve: { conditions } } },
};

/** Those that take longest begin first: at the end one worker would wait for another. */
const slowest = [
  "command.stack",
  "examples.stack",
  "large-room.stack",
  "soak.stack",
  "guide.stack",
  "hub-recovery.stack",
  "backend.stack",
  "hybrid.stack",
  "presence-plan.stack",
  "segmented-vector-index",
  "lifetime.stack",
];

/** They bring a database of their own, or ask about processes and sockets: on a native Postgres they would be the same again. */
const notOnNative = [
  "bench/**",
  "examples/**",
  "test-support/**",
  "packages/federation/src/memory/backends/hybrid-histories.stack.test.ts",
  "packages/federation/src/memory/sync/crash.stack.test.ts",
  "packages/federation/src/presence-cost.stack.test.ts",
  "packages/federation/src/presence-plan.stack.test.ts",
  "packages/federation/src/tasks/killed-worker.stack.test.ts",
  "packages/local-supabase/src/command/**",
  "packages/local-supabase/src/database/extensions.stack.test.ts",
  "packages/local-supabase/src/database/pglite-database.stack.test.ts",
];

class SlowestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({ moduleId }: TestSpecification): number => {
      const at = slowest.findIndex((name) => moduleId.includes(`/${name}.test.`));
      return at === -1 ? slowest.length : at;
    };
    return (await super.sort(files)).toSorted((a, b) => rank(a) - rank(b));
  }
}

export default defineConfig({
  ...source,
  test: {
    sequence: { sequencer: SlowestFirst },
    // supabase-js says so in every process on Node 20; two hundred test files saying it hide what matters.
    onConsoleLog: (log) => !log.includes("Node.js 20 and below are deprecated"),
    // One less than there are cores would leave one of two idle; a third on two cores gains nothing, measured.
    maxWorkers: Math.max(2, availableParallelism() - 1),
    projects: [
      {
        ...source,
        test: {
          name: "unit",
          include: [
            "packages/*/src/**/*.test.ts",
            "examples/**/*.test.ts",
            "bench/**/*.test.ts",
            "scripts/**/*.test.ts",
            "test-support/**/*.test.ts",
          ],
          exclude: ["**/*.stack.test.ts", "**/node_modules/**"],
          testTimeout: 60_000, // properties run many cases, and a busy machine runs them slowly
        },
      },
      {
        ...source,
        test: {
          name: "stack",
          globalSetup: "test-support/migrated-template.ts",
          // Optimizing the embedded Postgres' code is worth it for a server that lives for minutes, not for a file of tests.
          execArgv: ["--liftoff-only"],
          include: [
            "packages/*/src/**/*.stack.test.ts",
            "examples/**/*.stack.test.ts",
            "bench/**/*.stack.test.ts",
            "test-support/**/*.stack.test.ts",
          ],
          // A project's own list: that of the command line does not reach into projects.
          exclude: [
            "**/node_modules/**",
            ...(process.env["TEST_DATABASE_URL"] === undefined ? [] : notOnNative),
          ],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
