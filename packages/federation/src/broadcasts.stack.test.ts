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

test("what an agent fails on for all its deliveries is a dead letter there, and there alone; taken out of them it comes again", async () => {
  const [sender, weak, strong] = [
    await bench.open("sender"),
    await bench.open("weak", { maxDeliveries: 2 }),
    await bench.open("strong"),
  ];
  weak.on("error", () => {}); // its handlers fail on purpose
  const attempts: (number | undefined)[] = [];
  let isFit = false;
  const finished: unknown[] = [];
  weak.on("message:news", ({ payload }) => finished.push(payload));
  weak.on("message:news", ({ delivery_attempt, payload }) => {
    attempts.push(delivery_attempt);
    if (!isFit && payload === 1) throw new Error("too much");
  });
  const heard = newsOf(strong);
  await expect(
    sender.broadcast("news", 1, { ...durable, id: "b", waitFor: "handled" }),
  ).rejects.toMatchObject({ code: "undelivered", message: expect.stringContaining("weak: Error: too much") });
  expect(await sender.getMessage("b")).toMatchObject({ recipients: 2, handled_by: 1, failed_by: 1 });
  expect([attempts, finished, heard]).toEqual([[1, 2], [1], [1]]); // who finished is not asked again

  const deadOf = async (hub: RealtimeFederationHub): Promise<string[]> =>
    (await hub.listMessages({ box: "inbox", state: "dead" })).map(({ id }) => id);
  expect(await Promise.all([weak, strong, sender].map(deadOf))).toEqual([["b"], [], []]);
  expect(await weak.getMessage("b")).toMatchObject({ delivery_attempt: 2, last_error: "Error: too much" });
  expect(await strong.requeueMessage("b")).toBe(false);

  isFit = true;
  expect(await weak.requeueMessage("b")).toBe(true);
  await sender.waitForMessage("b", "handled");
  expect(await sender.getMessage("b")).toMatchObject({ recipients: 2, handled_by: 2, failed_by: 0 });
  expect(await deadOf(weak)).toEqual([]);
  expect(heard).toEqual([1]);
});

test("a process that ends while its handlers still fail is followed by one that is told", async () => {
  const [sender, first] = [await bench.open("sender"), await bench.open("reader")];
  first.on("error", () => {}); // its handlers fail on purpose
  const failed = next(first, "message:news");
  first.on("message:news", () => {
    throw new Error("not yet");
  });
  await sender.broadcast("news", 1, durable);
  await failed;
  await first.shutdown();
  const second = bench.make("reader");
  const heard = newsOf(second);
  const told = next(second, "message:news");
  await second.initialize();
  await told;
  expect(heard).toEqual([1]);
});
