import { expect, test } from "vitest";
import type { RealtimeFederationHub } from "./realtime-hub.ts";
import { next, until, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench();

const durable = { durable: true } as const;

/** What a hub is told of type `news`, in order. */
function newsOf(hub: RealtimeFederationHub): unknown[] {
  const heard: unknown[] = [];
  hub.on("message:news", ({ payload }) => heard.push(payload));
  return heard;
}

test("an agent that comes back is told what was said to everybody while it was away, and nothing twice", async () => {
  const sender = await bench.open("sender");
  await sender.broadcast("news", 0, durable);
  const first = await bench.open("reader");
  const before = newsOf(first);
  for (const news of [1, 2]) await sender.broadcast("news", news, durable);
  await until(first, ["message:news"], () => before.includes(2));
  await first.shutdown();
  for (const news of [3, 4]) await sender.broadcast("news", news, durable);
  const second = bench.make("reader");
  const after = newsOf(second);
  await second.initialize();
  await until(second, ["message:news"], () => after.includes(4));
  await sender.broadcast("news", 5, durable);
  await until(second, ["message:news"], () => after.includes(5));
  expect([before, after]).toEqual([
    [1, 2],
    [3, 4, 5],
  ]);
});

test("whoever said something to everybody can wait until all have handled it, and see how many there were", async () => {
  const [sender, quick, slow] = [
    await bench.open("sender"),
    await bench.open("quick"),
    await bench.open("slow"),
  ];
  await bench.open("elsewhere", {}, `${bench.tenant}-2`);
  let finish = (): void => {};
  const working = new Promise<void>((resolve) => (finish = resolve));
  quick.on("message:news", () => {});
  slow.on("message:news", () => working);
  const heard = next(slow, "message:news");
  let isHandled = false;
  const all = sender
    .broadcast("news", 1, { ...durable, id: "b", waitFor: "handled" })
    .then(() => (isHandled = true));
  await heard;
  expect(isHandled).toBe(false);
  expect(await sender.getMessage("b")).toMatchObject({ id: "b", recipients: 2 });
  expect(await sender.getMessage("b")).not.toHaveProperty("handled_at");
  finish();
  await all;
  expect(await sender.getMessage("b")).toMatchObject({
    recipients: 2,
    handled_by: 2,
    stored_at: expect.any(String) as string,
    handled_at: expect.any(String) as string,
  });
});

test("nobody can wait for a broadcast that is not stored", async () => {
  const hub = await bench.open("a");
  await expect(hub.broadcast("news", 1, { waitFor: "handled" })).rejects.toMatchObject({
    code: "invalid_argument",
  });
});
