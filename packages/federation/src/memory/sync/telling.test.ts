/** What listeners are told, and what not. */
import { expect, test } from "vitest";
import { FederationError } from "../../runtime/errors.ts";
import { LastTold } from "./last-told.ts";
import type { SyncChange } from "./sync-state.ts";
import { EngineBench, livingIn, type BenchReplica } from "./testing/engine-bench.ts";
import { MemoryTenantStore } from "./testing/memory-tenant-store.ts";
import { rowOf } from "./testing/sim-replica.ts";
import { simulate, type History } from "./testing/simulation.ts";

const cut = new FederationError("unreachable", "cut");

/** As by kill -9. */
function end({ engine, store }: BenchReplica): void {
  store.crash(0);
  void engine.close();
}

const saidBy = ({ told }: BenchReplica): string[] =>
  told.map(({ change, row }) => `${change} ${row.id} ${row.content}`);

test("a first reading that ends in a comparison tells nobody of what was there", async () => {
  const bench = new EngineBench();
  const { clock, model } = bench;
  const a = bench.open("a");
  for (let n = 0; n < 2_400; n++) await a.write(`m${n}`);
  await clock.run(5_000);
  const b = bench.open("b");
  b.server.waysMs = ({ name }) => (name === "pull" ? 100 : 1);
  await clock.run(150); // the first page has come, the second is on its way
  expect(livingIn(b.store)).toHaveLength(500);
  model.newEpoch({ restores: false });
  await a.write("m7", { content: "changed meanwhile" });
  await clock.run(5_000);
  expect(livingIn(b.store)).toHaveLength(2_400);
  expect(saidBy(b)).toEqual(["updated m7 changed meanwhile"]);
});

test("what is read in by id while the store is new tells nobody that it was there, and of a change once", async () => {
  for (const isChanged of [false, true]) {
    const bench = new EngineBench();
    const { clock, model } = bench;
    const a = bench.open("a");
    for (let n = 0; n < 2_400; n++) await a.write(`m${n}`);
    await clock.run(5_000);
    const b = bench.open("b");
    b.server.waysMs = ({ name }) => (name === "pull" ? 100 : 1);
    await clock.run(150); // the first page has come, the second is on its way
    const there = model.get("m2399")!;
    if (isChanged) model.beginStore("a", { ...there, content: "changed there" }).commit();
    const taking = b.engine.takeIn(["m2399"]);
    await clock.run(10);
    await taking;
    expect(livingIn(b.store)).toHaveLength(501);
    await clock.run(70_000);
    expect(livingIn(b.store)).toHaveLength(2_400);
    expect(saidBy(b)).toEqual(isChanged ? ["updated m2399 changed there"] : []);
  }
});

test("what another filter lets in tells nobody that it was there, and what changes then is told", async () => {
  const bench = new EngineBench();
  const { clock } = bench;
  const [a, b] = [bench.open("a"), bench.open("b")];
  await a.write("a1");
  await b.write("b1");
  await clock.run(70_000);
  const narrow = bench.open("c", { syncFilter: { agents: ["a"] } });
  await clock.run(70_000);
  await narrow.engine.close();
  const { store } = narrow;
  await a.write("a1", { content: "changed" });
  await clock.run(100);
  const wide = bench.open("c", { store, syncFilter: { agents: ["a", "b"] }, writer: "c/2" });
  await clock.run(70_000);
  expect(livingIn(store)).toEqual(["a1 changed", "b1 b1"]);
  await b.write("b1", { content: "changed, too" });
  await clock.run(70_000);
  expect([...saidBy(narrow), ...saidBy(wide)]).toEqual(["updated a1 changed", "updated b1 changed, too"]);
});

test("a first reading that asks about a memory for a write over it does not tell of it where it becomes a comparison, whenever the process ends", async () => {
  for (let livesMs = 0; livesMs < 40; livesMs++) {
    const bench = new EngineBench();
    const { clock, model } = bench;
    const desk = bench.open("a");
    for (let n = 0; n < 510; n++) await desk.write(`m${n}`);
    await clock.run(5_000);
    const { data } = new MemoryTenantStore();
    const disk = (): Promise<void> => clock.sleep(2);
    const processes = [1, 2, 3].map(() => new MemoryTenantStore({ data, disk }));
    const open = (place: number): BenchReplica =>
      bench.open("a", { store: processes[place]!, writer: `a/laptop ${place}` });
    const first = open(0);
    let pulls = 0;
    first.server.refuses = ({ name }) => (name === "pull" && ++pulls === 1 ? undefined : cut);
    first.server.waysMs = () => 20; // the write is here before the page
    void first.write("m7", { content: "written over" });
    await clock.run(100);
    end(first);
    expect(first.engine.state).toMatchObject({ phase: "loading", pending: 1 });
    expect(data.facts.get("doubt")).toBe('["m7"]');
    const second = open(1);
    second.server.refuses = ({ name }) => (name === "read" ? undefined : cut);
    await clock.run(livesMs);
    end(second);
    model.newEpoch({ restores: false });
    const third = open(2);
    await clock.run(70_000);
    expect(third.engine.state).toMatchObject({ phase: "live", pending: 0 });
    expect([first, second, third].flatMap(saidBy)).toEqual(["updated m7 written over"]);
    const closing = Promise.all([desk, third].map(({ engine }) => engine.close()));
    await clock.run(60); // the store finishes what it was asked for
    await closing;
  }
});

test("the same once more is no news, and anything in between makes it news", () => {
  const hlc = { ms: 1, counter: 0, writer: "a" };
  const row = rowOf({ id: "m", agent: "a", kind: "put", content: "", nowMs: 1, version: 1, hlc });
  const said = (change: SyncChange["change"], version: number): SyncChange => ({
    change,
    row: { ...row, version },
  });
  const last = new LastTold();
  const first = said("added", 1);
  expect(last.news([first, first])).toEqual([first]);
  expect(last.news([first, said("updated", 2), first, said("deleted", 2), first])).toHaveLength(4);
  expect(last.news([first])).toEqual([]);
});

// What random histories came to, shrunk.
const fair = { lost: 0, repeated: 0, busy: 0, deadly: 0, slowMs: 20 };

test("a comparison tells of no write that waits to be sent", async () => {
  const history: History = {
    seed: 181_245_205,
    weather: { ...fair, lost: 0.2 },
    steps: [
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "crash", who: 2, ms: 3 },
      { does: "crash server", ms: 5_175 },
      { does: "write", who: 1, key: 2, kind: "private" },
      { does: "wait", ms: 10_110 },
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "wait", ms: 6_299 },
      { does: "write", who: 2, key: 3, kind: "put" },
      { does: "new epoch", restores: true },
      { does: "wait", ms: 1 },
      { does: "write", who: 0, key: 0, kind: "delete" },
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "write", who: 2, key: 1, kind: "put" },
      { does: "back up" },
      { does: "write", who: 0, key: 5, kind: "put" },
      { does: "write", who: 0, key: 5, kind: "delete" },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("a new machine that writes while its first reading becomes a comparison tells of its write alone", async () => {
  const history: History = {
    seed: 0,
    weather: fair,
    steps: [
      { does: "write", who: 0, key: 3, kind: "put" },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "write", who: 0, key: 1, kind: "put" },
      { does: "write", who: 0, key: 2, kind: "put" },
      { does: "wait", ms: 120 },
      { does: "new machine", who: 0 },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 60 },
      { does: "new epoch", restores: false },
      { does: "write", who: 0, key: 0, kind: "delete" },
      { does: "crash server", ms: 1 },
      { does: "write", who: 0, key: 0, kind: "put" },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("what was told and is then written again is not told again by a comparison", async () => {
  const history: History = {
    seed: 0,
    weather: fair,
    steps: [
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 64 },
      { does: "new epoch", restores: false },
      { does: "write", who: 0, key: 0, kind: "put" },
      { does: "wait", ms: 60 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});

test("what a refusal brings back in the middle of a comparison is told at its end", async () => {
  const history: History = {
    seed: 0,
    weather: { ...fair, lost: 0.1 },
    steps: [
      { does: "write", who: 2, key: 6, kind: "put" },
      { does: "wait", ms: 7_127 },
      { does: "back up" },
      { does: "wait", ms: 1_393 },
      { does: "wait", ms: 11_531 },
      { does: "wait", ms: 22 },
      { does: "write", who: 2, key: 6, kind: "delete" },
      { does: "wait", ms: 2_001 },
      { does: "wait", ms: 3_095 },
      { does: "new epoch", restores: true },
      { does: "write", who: 2, key: 0, kind: "put" },
      { does: "wait", ms: 223 },
      { does: "write", who: 2, key: 6, kind: "refused" },
      { does: "wait", ms: 60 },
      { does: "write", who: 0, key: 0, kind: "private" },
      { does: "limit batches", maxRows: 1 },
      { does: "wait", ms: 1 },
    ],
  };
  expect((await simulate(history)).wrong).toEqual([]);
});
