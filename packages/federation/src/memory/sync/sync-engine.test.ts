import { describe, expect, test } from "vitest";
import { FederationError } from "../../runtime/errors.ts";
import type { DeadLetter } from "../local/local-store.ts";
import { compareHlc } from "./hlc.ts";
import { EngineBench, livingIn, type SeenCall } from "./testing/engine-bench.ts";
import { MemoryTenantStore } from "./testing/memory-tenant-store.ts";
import { unacceptable } from "./testing/model-server.ts";
import { rowOf } from "./testing/sim-replica.ts";

const hour = 3_600_000;
const unreachable = new FederationError("unreachable", "away");
const pushes = ({ name }: SeenCall): boolean => name === "push";

describe("up", () => {
  test("a batch that is too large is halved until it goes", async () => {
    const { clock, model, open } = bench();
    const { write, server, store } = open("a");
    model.maxRows = 7;
    for (let n = 0; n < 40; n++) await write(`m${n}`);
    await clock.run(1_000);
    expect(store.data.outbox.size).toBe(0);
    expect(model.readable("a")).toHaveLength(40);
    const sizes = server.calls.filter(pushes).map(({ ids }) => ids.length);
    expect(sizes.slice(0, 4)).toEqual([40, 20, 10, 5]);
  });

  test("a refused row becomes a dead letter, is told, and blocks nobody", async () => {
    const { clock, model, open } = bench();
    const { write, engine, store } = open("a");
    const letters: DeadLetter[] = [];
    engine.on("refused", (event) => void letters.push(...event.letters));
    await write("good-1");
    await write("bad", { content: unacceptable });
    await write("good-2");
    await clock.run(1_000);
    expect(letters).toMatchObject([{ row: { id: "bad" }, code: "22023" }]);
    expect(store.deadLetters()).toEqual(letters);
    expect(model.readable("a").map(({ id }) => id)).toEqual(["good-1", "good-2"]);
    expect(engine.state).toMatchObject({ pending: 0, deadLetters: 1, pushed: 2 });
    expect(livingIn(store)).toEqual(["good-1 good-1", "good-2 good-2"]);
  });

  test("a row that breaks every call it is in is given up, and the others arrive", async () => {
    const { clock, model, open } = bench();
    const { write, server, store } = open("a");
    const broken = new FederationError("server", "it fell over");
    server.refuses = ({ ids }) => (ids.includes("poison") ? broken : undefined);
    for (const id of ["m1", "poison", "m2", "m3"]) await write(id);
    await clock.run(10 * 60_000);
    expect(model.readable("a").map(({ id }) => id)).toEqual(["m1", "m2", "m3"]);
    expect(store.deadLetters()).toMatchObject([{ row: { id: "poison" }, code: "server" }]);
  });

  test("nothing is given up while the server serves nobody", async () => {
    const { clock, open } = bench();
    const { write, server, store } = open("a");
    await clock.run(10);
    server.refuses = () => new FederationError("timeout", "silence");
    await write("m1");
    await clock.run(10 * hour);
    expect(store.data.outbox.size).toBe(1);
    server.refuses = () => undefined;
    await clock.run(60_000);
    expect(store.data.outbox.size).toBe(0);
  });

  test("another agent's id is refused, and the memory is here as the server has it", async () => {
    const { clock, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await a.write("x", { content: "a's" });
    await b.write("x", { content: "b's" });
    await clock.run(200_000);
    expect([livingIn(a.store), livingIn(b.store)]).toEqual([["x a's"], ["x a's"]]);
    expect(b.store.deadLetters()).toMatchObject([{ row: { content: "b's" }, code: "42501" }]);
  });

  test("waits grow after failures, and Retry-After is the least of them", async () => {
    const { clock, open } = bench();
    const { write, server } = open("a");
    await clock.run(10);
    server.refuses = ({ name }) => (name === "push" ? unreachable : undefined);
    await write("m1");
    await clock.run(20_000);
    const times = server.calls.filter(pushes).map(({ atMs }) => atMs);
    const waits = times.slice(1).map((at, index) => at - times[index]!);
    expect(waits.slice(0, 5)).toEqual([250, 500, 1000, 2000, 4000].map((ms) => ms * 0.75 + 1));
    const cause = { retryAfterMs: 90_000 };
    server.refuses = ({ name }) =>
      name === "push" ? new FederationError("busy", "later", { cause }) : undefined;
    await clock.run(60_000);
    const busyAt = server.calls.filter(pushes).at(-1)!.atMs;
    server.refuses = () => undefined;
    await clock.run(90_000);
    expect(server.calls.filter(pushes).at(-1)!.atMs - busyAt).toBeGreaterThanOrEqual(90_000);
  });

  test("a clock that is hours wrong is put right before its row is sent, so that a repetition is no new write", async () => {
    const { clock, model, open } = bench();
    const wrong = { now: () => clock.now() + 5 * hour, after: clock.after.bind(clock) };
    const first = open("a", { clock: wrong });
    const second = open("a", { writer: "a/2" });
    first.server.loses = ({ name }) => (name === "push" ? unreachable : undefined);
    await first.write("x", { content: "wrong clock" });
    await clock.run(50);
    expect(model.get("x")).toMatchObject({ content: "wrong clock" });
    expect(model.get("x")!.hlc.ms).toBeLessThanOrEqual(clock.now());
    second.engine.hint();
    await clock.run(10);
    await second.write("x", { content: "later" });
    await clock.run(10_000);
    first.server.loses = () => undefined;
    await clock.run(60_000);
    expect([livingIn(first.store), livingIn(second.store)]).toEqual([["x later"], ["x later"]]);
  });

  test("where the server moved a clock, what was passed over for its sake is read again", async () => {
    const { clock, model, open } = bench();
    let skewMs = 0;
    const jumping = { now: () => clock.now() + skewMs, after: clock.after.bind(clock) };
    const [first, second] = [open("a", { clock: jumping }), open("a", { writer: "a/2" })];
    await clock.run(10);
    first.server.waysMs = ({ name }) => (name === "push" ? 2_000 : 1);
    skewMs = 5 * hour;
    await first.write("x", { content: "wrong clock" });
    await clock.run(10);
    expect(model.get("x")).toMatchObject({ content: "wrong clock" });
    second.engine.hint();
    await clock.run(10);
    await second.write("x", { content: "later" });
    await clock.run(10);
    first.engine.hint(); // while the answer to the push is on its way, what was pushed is held with the wrong clock
    await clock.run(10);
    expect(livingIn(first.store)).toEqual(["x wrong clock"]);
    await clock.run(70_000);
    expect(livingIn(first.store)).toEqual(["x later"]);
    expect(first.engine.state.pending).toBe(0);
  });
});

describe("down", () => {
  test("a hint brings a change at once, the interval brings it without one", async () => {
    const { clock, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await clock.run(10);
    await a.write("m1");
    await clock.run(10);
    expect(livingIn(b.store)).toEqual([]);
    b.engine.hint();
    await clock.run(10);
    expect(livingIn(b.store)).toEqual(["m1 m1"]);
    await a.write("m2");
    await clock.run(60_100);
    expect(livingIn(b.store)).toEqual(["m1 m1", "m2 m2"]);
  });

  test("changes are told once each, one's own as well, in the order of the server", async () => {
    const { clock, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await clock.run(10);
    await a.write("m1");
    await clock.run(10);
    await b.write("m2");
    await clock.run(10);
    for (const { engine } of [a, b]) engine.hint();
    await clock.run(10);
    await a.write("m1", { content: "again" });
    await b.write("m2", { kind: "delete" });
    await clock.run(130_000);
    const expected = ["added m1", "added m2", "updated m1", "deleted m2"];
    expect(a.told.map(({ change, row }) => `${change} ${row.id}`)).toEqual(expected);
    expect(b.told.map(({ change, row }) => `${change} ${row.id}`)).toEqual(expected);
    expect(b.told[2]?.row.content).toBe("again");
  });

  test("after an absence each changed memory is told once, as it is now", async () => {
    const { clock, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await a.write("m1");
    await clock.run(70_000);
    await b.engine.close();
    for (const content of ["one", "two", "three"]) {
      await a.write("m1", { content });
      await clock.run(100);
    }
    await a.write("m2");
    await clock.run(100);
    const again = open("b", { store: b.store, writer: "b/2" });
    await clock.run(100);
    expect(again.told.map(({ change, row }) => `${change} ${row.content}`)).toEqual([
      "updated three",
      "added m2",
    ]);
  });

  test("what was there when the store was new is not told", async () => {
    const { clock, open } = bench();
    const a = open("a");
    await a.write("m1");
    await clock.run(100);
    const b = open("b");
    await clock.run(100);
    expect(livingIn(b.store)).toEqual(["m1 m1"]);
    expect(b.told).toEqual([]);
  });

  test("a comparison keeps what is not pushed, and drops what the server no longer has", async () => {
    const { clock, model, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await a.write("kept");
    await clock.run(100);
    model.backUp();
    await a.write("lost by the restore");
    await a.write("kept", { content: "changed after the backup" });
    await clock.run(70_000);
    expect(livingIn(b.store)).toHaveLength(2);
    a.server.refuses = ({ name }) => (name === "push" ? unreachable : undefined);
    await a.write("not pushed");
    model.newEpoch({ restores: true });
    await clock.run(130_000);
    expect(livingIn(a.store)).toEqual(["kept kept", "not pushed not pushed"]);
    expect(livingIn(b.store)).toEqual(["kept kept"]);
    const last = b.told.slice(-2).map(({ change, row }) => `${change} ${row.id} ${row.content}`);
    expect(last.toSorted()).toEqual(["added kept kept", "deleted lost by the restore "]);
    a.server.refuses = () => undefined;
    await clock.run(130_000);
    expect(livingIn(b.store)).toEqual(["kept kept", "not pushed not pushed"]);
  });

  test("a cursor older than the tombstones leads to a comparison", async () => {
    const { clock, model, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await a.write("m1");
    await clock.run(70_000);
    b.server.refuses = () => unreachable;
    await a.write("m1", { kind: "delete" });
    await clock.run(1_000);
    model.purge();
    b.server.refuses = () => undefined;
    await clock.run(70_000);
    expect(livingIn(b.store)).toEqual([]);
  });

  test("a transaction that is open while others commit loses nothing", async () => {
    const { clock, model, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await clock.run(10);
    const late = model.begin("a", [await a.write("late")]);
    await clock.run(5_000);
    await a.write("early");
    await clock.run(70_000);
    late.commit();
    await clock.run(70_000);
    expect(livingIn(b.store)).toEqual(["early early", "late late"]);
  });

  test("what waits behind an open transaction comes soon after that has ended, without a hint", async () => {
    const { clock, model, open } = bench();
    const [a, b] = [open("a", { syncIntervalMs: 3_600_000 }), open("b", { syncIntervalMs: 3_600_000 })];
    await clock.run(10);
    const transaction = model.beginTransaction();
    await a.write("m");
    await clock.run(1_000);
    expect(livingIn(b.store)).toEqual([]);
    const [synced] = await Promise.all([b.engine.sync(), clock.run(5_000)]);
    expect(synced).toMatchObject({ pulled: 0, isHeldBack: true });
    model.endTransaction(transaction);
    await clock.run(5_000);
    expect(livingIn(b.store)).toEqual(["m m"]);
  });

  test("what was changed on the server itself is here when it was taken in, and is told once, by the pull", async () => {
    const { clock, model, open } = bench();
    const [mine, other] = [open("a"), open("b")];
    await mine.write("x", { content: "before" });
    await clock.run(1_000);
    const there = rowOf({
      id: "x",
      agent: "a",
      kind: "put",
      content: "after",
      nowMs: clock.now(),
      version: 0,
      hlc: { ms: clock.now(), counter: 0, writer: "a" },
    });
    model.begin("a", [there]).commit();
    const toldBefore = mine.told.length;
    const taking = mine.engine.takeIn(["x", "never there"]).then(() => livingIn(mine.store));
    await clock.run(1_000);
    expect(await taking).toEqual(["x after"]);
    expect(mine.told.slice(toldBefore).map(({ change, row }) => `${change} ${row.content}`)).toEqual([
      "updated after",
    ]);
    await other.write("y");
    await clock.run(120_000);
    expect(mine.told.filter(({ row }) => row.content === "after")).toHaveLength(1);
    expect(compareHlc(mine.engine.stamp(), there.hlc)).toBeGreaterThan(0);
  });

  test("before a first page is kept nothing is taken in by id", async () => {
    const { clock, open } = bench();
    const { engine, server } = open("a");
    server.refuses = ({ name }) => (name === "pull" ? unreachable : undefined);
    const taking = engine.takeIn(["x"]).catch((error: unknown) => error);
    await clock.run(1_000);
    expect(await taking).toBe(unreachable);
    expect(server.calls.some(({ name }) => name === "read")).toBe(false);
  });
});

test("pages that the server does not give in time get smaller", async () => {
  const { clock, model, open } = bench();
  const a = open("a");
  for (let n = 0; n < 300; n++) await a.write(`m${n}`);
  await clock.run(1_000);
  const b = open("b");
  const pull = b.server.pull;
  const asked: number[] = [];
  b.server.pull = (cursor, limits, signal) => {
    asked.push(limits.maxRows);
    if (limits.maxRows > 70) return new Promise(() => undefined);
    return pull(cursor, limits, signal);
  };
  await clock.run(60_000);
  expect(asked.slice(0, 4)).toEqual([500, 250, 125, 62]);
  expect(livingIn(b.store)).toHaveLength(model.readable("b").length);
});

describe("what is held", () => {
  test("the newest stay, and what is in the outbox; a search is told", async () => {
    const { clock, open } = bench();
    const [a, b] = [open("a"), open("b", { maxLocalMemories: 20 })];
    b.server.refuses = ({ name }) => (name === "push" ? unreachable : undefined);
    await b.write("mine, and old", { createdMs: 1_000 });
    for (let n = 10; n < 50; n++) await a.write(`m${n}`, { createdMs: n * 1_000_000 });
    await clock.run(70_000);
    expect(b.engine.state.coverage).toBe("limited");
    const held = livingIn(b.store);
    expect(held.length).toBeLessThanOrEqual(21);
    expect(held.length).toBeGreaterThanOrEqual(19);
    expect(held).toContain("mine, and old mine, and old");
    expect(held).toContain("m49 m49");
    expect(held).not.toContain("m29 m29");
    const since = new Date(45_000_000).toISOString();
    expect(b.engine.coverage({ since })).toBe("all");
    expect(a.engine.state.coverage).toBe("all");
  });

  test("the filter says what comes in, another one leads to a comparison", async () => {
    const { clock, open } = bench();
    const [a, b] = [open("a"), open("b")];
    await a.write("a1");
    await b.write("b1");
    await clock.run(70_000);
    const store = new MemoryTenantStore();
    const c = open("c", { store, syncFilter: { agents: ["a"] } });
    await c.write("c1");
    await clock.run(70_000);
    expect(livingIn(store)).toEqual(["a1 a1", "c1 c1"]);
    expect(c.engine.coverage()).toBe("filtered");
    expect(c.engine.coverage({ agent: "a" })).toBe("all");
    await c.engine.close();
    const wider = open("c", { store, syncFilter: { agents: ["a", "b"] }, writer: "c/2" });
    await clock.run(70_000);
    expect(livingIn(store)).toEqual(["a1 a1", "b1 b1"]);
    await wider.engine.close();
  });
});

describe("whoever runs it", () => {
  test("switched off it sends and asks nothing, and says so", async () => {
    const { clock, open } = bench();
    const { write, server, engine } = open("a", { isEnabled: false });
    await write("m1");
    engine.hint();
    await clock.run(hour);
    expect(server.calls).toEqual([]);
    expect(engine.state).toMatchObject({ phase: "off", pending: 1, coverage: "loading" });
    await expect(engine.sync()).rejects.toMatchObject({ code: "invalid_state" });
    await expect(engine.drain()).rejects.toMatchObject({ code: "invalid_state" });
  });

  test("sync() is one round for those who call it together, and rejects with what stopped it", async () => {
    const { clock, open } = bench();
    const { write, server, engine } = open("a");
    await clock.run(100);
    await write("m1");
    server.calls.length = 0;
    const all = Promise.all([engine.sync(), engine.sync(), engine.sync()]);
    await clock.run(100);
    expect(await all).toMatchObject([{ pending: 0 }, { pending: 0 }, { pending: 0 }]);
    expect(server.calls.filter(({ name }) => name === "pull")).toHaveLength(1);
    server.refuses = () => unreachable;
    const failed = engine.sync().catch((error: unknown) => error);
    await clock.run(100);
    expect(await failed).toBe(unreachable);
    expect(engine.state).toMatchObject({ isOnline: false, lastError: { code: "unreachable" } });
  });

  test("drain resolves when the outbox is empty, and rejects with the reason of its signal", async () => {
    const { clock, open } = bench();
    const { write, server, engine, store } = open("a");
    server.refuses = () => unreachable;
    await write("m1");
    await clock.run(10);
    const stop = new AbortController();
    const stopped = engine.drain({ signal: stop.signal }).catch((error: unknown) => error);
    const drained = engine.drain();
    stop.abort(new Error("enough"));
    expect(await stopped).toMatchObject({ message: "enough" });
    server.refuses = () => undefined;
    await clock.run(60_000);
    await drained;
    expect(store.data.outbox.size).toBe(0);
  });

  test("closed at whichever moment, nothing runs on, and what waits is told", async () => {
    for (let ms = 0; ms < 60; ms++) {
      const { clock, open } = bench();
      const disk = (): Promise<void> => clock.sleep(1);
      const { write, engine } = open("a", { store: new MemoryTenantStore({ disk }) });
      void write("m1");
      const synced = engine.sync().then(
        () => "done",
        (error: FederationError) => error.code,
      );
      await clock.run(ms);
      const closing = engine.close();
      await clock.run(60); // the store finishes what it was asked for
      await closing;
      expect(["done", "closed"]).toContain(await synced);
      expect(clock.pending).toBe(0);
      await expect(engine.sync()).rejects.toMatchObject({ code: "closed" });
    }
  });

  test("lag is how long something has been waiting", async () => {
    const { clock, open } = bench();
    const { write, server, engine } = open("a");
    await clock.run(100);
    expect(engine.state.lagMs).toBe(0);
    server.refuses = () => unreachable;
    await write("m1");
    await clock.run(5_000);
    expect(engine.state.lagMs).toBeGreaterThanOrEqual(4_999);
    server.refuses = () => undefined;
    await clock.run(60_000);
    expect(engine.state).toMatchObject({ lagMs: 0, pending: 0, isOnline: true, lastError: undefined });
  });
});

function bench(): { clock: EngineBench["clock"]; model: EngineBench["model"]; open: EngineBench["open"] } {
  const made = new EngineBench();
  return { clock: made.clock, model: made.model, open: made.open.bind(made) };
}
