import { expect, test } from "vitest";
import type { Environment } from "../config/environment.ts";
import {
  resolveAdapterOptions,
  type AdapterOptions,
  type ResolvedAdapterOptions,
} from "./adapter-options.ts";

const resolve = (options: AdapterOptions = {}, environment: Environment = {}): ResolvedAdapterOptions =>
  resolveAdapterOptions(options, { environment, inBrowser: false });

test("the defaults are those that callers know", () => {
  expect(resolve()).toMatchObject({
    vectorBackend: "pgvector",
    memorySync: true,
    syncIntervalMs: 60_000,
    syncFilter: {},
    maxLocalMemories: 100_000,
    durability: "process",
    heartbeatMs: 30_000,
  });
});

test("the environment fills what the options leave out, and options win", () => {
  const environment = {
    FEDERATION_VECTOR_BACKEND: "hybrid",
    FEDERATION_MEMORY_SYNC: "false",
    FEDERATION_SYNC_INTERVAL: "5000",
    FEDERATION_DATA_DIR: "/data",
    FEDERATION_HEARTBEAT_INTERVAL: "1000",
  };
  const filled = { vectorBackend: "hybrid", memorySync: false, syncIntervalMs: 5_000, dataDir: "/data" };
  expect(resolve({}, environment)).toMatchObject({ ...filled, heartbeatMs: 1_000 });
  const options = { vectorBackend: "agentdb", memorySync: true, syncInterval: 7, dataDir: "/mine" } as const;
  expect(resolve(options, environment)).toMatchObject({
    vectorBackend: "agentdb",
    memorySync: true,
    syncIntervalMs: 7,
    dataDir: "/mine",
  });
});

test.each<[string, AdapterOptions, Environment]>([
  ["an interval that is no number", {}, { FEDERATION_SYNC_INTERVAL: "1m" }],
  ["an interval of nothing", { syncInterval: 0 }, {}],
  ["a switch that is neither true nor false", {}, { FEDERATION_MEMORY_SYNC: "maybe" }],
  ["a backend nobody knows", {}, { FEDERATION_VECTOR_BACKEND: "redis" }],
  ["a limit of no memories", { maxLocalMemories: 0 }, {}],
  ["a filter by no time", { syncFilter: { since: "yesterday" } }, {}],
  ["a filter by no agent", { syncFilter: { agents: ["a b"] } }, {}],
  ["a promise nobody keeps", { durability: "fire" as "power" }, {}],
])("%s is refused", (_name, options, environment) => {
  expect(() => resolve(options, environment)).toThrow(/expected/);
});
