import { expect, onTestFinished, test, vi } from "vitest";
import { systemClock } from "../../runtime/clock.ts";
import { FederationError } from "../../runtime/errors.ts";
import { silentLog } from "../../runtime/log.ts";
import { checkMemory } from "../check-memory.ts";
import { SyncEngine } from "../sync/sync-engine.ts";
import { MemoryTenantStore } from "../sync/testing/memory-tenant-store.ts";
import { LocalMemories } from "./local-memories.node.ts";
import type { MemoryWrite } from "./memory-backend.ts";
import { RowNotes } from "./row-notes.ts";

function openMemories(): { memories: LocalMemories; store: MemoryTenantStore } {
  const store = new MemoryTenantStore();
  const notes = new RowNotes(store);
  const refuse = () => Promise.reject(new FederationError("unsupported", "no server"));
  const engine = new SyncEngine({
    store: notes.observed,
    server: { push: refuse, pull: refuse, read: refuse },
    writer: "w",
    isEnabled: false,
    syncIntervalMs: 60_000,
    requestTimeoutMs: 1_000,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
  });
  onTestFinished(() => engine.close());
  const sessionAgent = (): undefined => undefined;
  const parts = { tenantId: "t", notes, engine, hasServer: false, sessionAgent, onWritten: () => {} };
  return { memories: new LocalMemories(parts), store };
}

function writes(count: number, content: (at: number) => string): MemoryWrite[] {
  return Array.from({ length: count }, (_, at) => ({
    memory: checkMemory({ id: `m${at}`, tenant_id: "t", agent_id: "ann", content: content(at) }),
  }));
}

/** As if every look at the clock were ten milliseconds after the last one. */
function slowClock(): void {
  let nowMs = 0;
  const spy = vi.spyOn(performance, "now").mockImplementation(() => (nowMs += 10));
  onTestFinished(() => spy.mockRestore());
}

test("many memories are decided about in many turns of the event loop", async () => {
  const { memories, store } = openMemories();
  slowClock();
  let turns = 0;
  let isWritten = false;
  const writing = memories.write(writes(1_000, String)).then(() => (isWritten = true));
  while (!isWritten) {
    await new Promise(setImmediate);
    turns += 1;
    // All or none: nothing is there before all is decided.
    if (!isWritten && turns < 60) expect(store.get("m0")).toBeUndefined();
  }
  await writing;
  expect(turns).toBeGreaterThanOrEqual(Math.floor(1_000 / 16));
  expect(store.get("m999")?.content).toBe("999");
});

test("who writes one of many memories that are being written comes before or after all of them", async () => {
  const { memories, store } = openMemories();
  slowClock();
  const many = memories.write(writes(100, (at) => `first ${at}`));
  await new Promise(setImmediate);
  const one = memories.write(writes(100, (at) => `second ${at}`).slice(99));
  const [, [written]] = await Promise.all([many, one]);
  expect(written?.version).toBe(2);
  expect(store.get("m99")?.content).toBe("second 99");
});

test("what is deleted elsewhere is deleted between the writes before and after", async () => {
  const { memories, store } = openMemories();
  const [write] = writes(1, String);
  const asked: ((isThere: boolean) => void)[] = [];
  const elsewhere = (isAway: boolean) => () => {
    return { answer: new Promise<boolean>((resolve) => void asked.push(resolve)), isAway };
  };
  const remove = (isAway: boolean): Promise<boolean> =>
    memories.remove("m0", { viewer: "ann", owner: undefined, elsewhere: elsewhere(isAway) });
  // Behind a write that has not ended, it is here.
  const [, isRemoved] = await Promise.all([memories.write([write!]), remove(false)]);
  expect([isRemoved, asked.length]).toEqual([true, 0]);
  await store.forget(["m0"]);

  const removing = remove(false);
  const writing = memories.write([write!]);
  await memories.write(writes(2, String).slice(1)); // another memory need not wait
  expect(store.get("m0")).toBeUndefined();
  asked.pop()?.(true);
  expect(await removing).toBe(true);
  await writing;
  expect(store.get("m0")).toBeDefined();
  await store.forget(["m0"]);

  const unanswered = remove(true);
  await memories.write([write!]);
  asked.pop()?.(false);
  expect(await unanswered).toBe(false);
});
