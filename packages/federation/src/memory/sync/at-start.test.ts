import { expect, test } from "vitest";
import { EngineBench, livingIn, type BenchReplica } from "./testing/engine-bench.ts";
import { MemoryTenantStore } from "./testing/memory-tenant-store.ts";

test("whenever processes end before a first page is kept, a database that was put back leaves nothing of the one before", async () => {
  for (let firstMs = 0; firstMs < 24; firstMs++)
    for (let secondMs = 0; secondMs < 32; secondMs++)
      expect(await livesOf(firstMs, secondMs)).toMatchObject({
        firstMs,
        secondMs,
        onlyHere: [],
        missing: [],
      });
});

/** Two processes of a new machine that live so long, the database put back to when it was empty, and what a third comes to. */
async function livesOf(firstMs: number, secondMs: number): Promise<object> {
  const bench = new EngineBench();
  const { clock, model } = bench;
  const disk = (): Promise<void> => clock.sleep(2);
  const other = bench.open("b");
  await other.write("both", { content: "b's" });
  await clock.run(50);
  const { data } = new MemoryTenantStore();
  const open = (writer: string): BenchReplica =>
    bench.open("a", { store: new MemoryTenantStore({ data, disk }), writer });
  const first = open("a/1");
  void first.write("mine");
  void first.write("both", { content: "a's" });
  await clock.run(firstMs);
  end(first);
  await other.write("both", { content: "b's again" });
  await clock.run(10);
  const second = open("a/2");
  await clock.run(secondMs);
  end(second);
  model.newEpoch({ restores: true });
  const third = open("a/3");
  await clock.run(130_000);
  const held = livingIn(third.store);
  const onServer = model.readable("a").map(({ id, content }) => `${id} ${content}`);
  const closing = Promise.all([third.engine.close(), other.engine.close()]);
  await clock.run(60); // the store finishes what it was asked for
  await closing;
  return {
    firstMs,
    secondMs,
    onlyHere: held.filter((each) => !onServer.includes(each)),
    missing: onServer.filter((each) => !held.includes(each)),
  };
}

/** As by kill -9: what is not durable by now never will be. */
function end({ engine, store }: BenchReplica): void {
  store.crash(0);
  void engine.close();
}
