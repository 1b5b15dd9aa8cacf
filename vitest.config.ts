import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";

// Tests read the packages' source. The condition is needed in all three places, the last one for the global set-up file.
const conditions = ["@agent-federation/source"];
const source = {
  resolve: { conditions },
  environments: { ssr: { resolve: { conditions } }, __vitest__: { resolve: { conditions } } },
};

/** Those that take a minute begin first: at the end one worker would wait for another. */
const slowest = ["examples.stack", "command.stack", "large-room.stack", "hub-recovery.stack", "soak.stack"];

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
          include: [
            "packages/*/src/**/*.stack.test.ts",
            "examples/**/*.stack.test.ts",
            "bench/**/*.stack.test.ts",
            "test-support/**/*.stack.test.ts",
          ],
          exclude: ["**/node_modules/**"],
          testTimeout: 60_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
