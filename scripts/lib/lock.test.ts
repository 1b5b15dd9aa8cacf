import { expect, test } from "vitest";
import { differenceBetween, missingOptional } from "./lock.mjs";

const lock = {
  packages: {
    "": { version: "1.0.0" },
    "packages/ours": { version: "1.0.0" },
    "node_modules/ours": { resolved: "packages/ours" },
    "node_modules/vitest": { version: "4.1.12", optionalDependencies: { "vitest-darwin": "4.1.12" } },
    "node_modules/vitest-darwin": { version: "4.1.12", optional: true },
  },
};

const installed = (changes: object) => ({
  packages: {
    "node_modules/ours": { resolved: "packages/ours" },
    "node_modules/vitest": { version: "4.1.12" },
    ...changes,
  },
});

test("what is installed is what the lock file asks for, other platforms' packages aside", () => {
  expect(differenceBetween(lock, installed({}))).toBeUndefined();
  expect(
    differenceBetween(lock, installed({ "node_modules/vitest-darwin": { version: "4.1.12" } })),
  ).toBeUndefined();
});

test("another version and a missing package are named", () => {
  expect(differenceBetween(lock, installed({ "node_modules/vitest": { version: "4.1.11" } }))).toBe(
    "node_modules/vitest: wanted 4.1.12, found 4.1.11",
  );
  expect(differenceBetween(lock, { packages: {} })).toBe(
    "node_modules/ours: wanted packages/ours, found nothing",
  );
});

test("an optional package of the wrong version is a difference, too", () => {
  expect(
    differenceBetween(lock, installed({ "node_modules/vitest-darwin": { version: "4.0.0" } })),
  ).toContain("4.0.0");
});

test("a lock file that names an optional package without an entry is incomplete", () => {
  const { "node_modules/vitest-darwin": _, ...packages } = lock.packages;
  expect(missingOptional({ packages }).map(({ name, version }) => `${name}@${version}`)).toEqual([
    "vitest-darwin@4.1.12",
  ]);
  expect(missingOptional(lock)).toEqual([]);
});
