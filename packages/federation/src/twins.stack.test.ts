import { expect, test } from "vitest";
import type { RealtimeFederationHub } from "./realtime-hub.ts";
import { next, until, useHubBench } from "./testing/hub-bench.node.ts";
import { startTcpProxy } from "./testing/tcp-proxy.node.ts";

const bench = useHubBench();

/** What a hub handles of type `note`, in order. */
function notesOf(hub: RealtimeFederationHub): unknown[] {
  const heard: unknown[] = [];
  hub.on("message:note", ({ payload }) => heard.push(payload));
  return heard;
}

const hears = (hub: RealtimeFederationHub, heard: unknown[], note: unknown): Promise<void> =>
  until(hub, ["message:note"], () => heard.includes(note));

test("of two processes of an agent one handles each message, and the other goes on when it ends", async () => {
  const sender = await bench.open("sender");
  const [first, second] = [await bench.open("twin"), await bench.open("twin")];
  const [byFirst, bySecond] = [notesOf(first), notesOf(second)];
  for (let note = 1; note <= 5; note++) await sender.sendMessage("twin", "note", note);
  await hears(first, byFirst, 5);
  await first.shutdown();
  for (let note = 6; note <= 10; note++) await sender.sendMessage("twin", "note", note);
  await hears(second, bySecond, 10);
  expect([byFirst, bySecond]).toEqual([
    [1, 2, 3, 4, 5],
    [6, 7, 8, 9, 10],
  ]);
});

test("a process whose network is gone loses its turn to the other, and does not handle what that handles", async () => {
  const proxy = await startTcpProxy(bench.stack.url);
  bench.defer(() => proxy.close());
  const sender = await bench.open("sender");
  const first = await bench.open("twin", { url: proxy.url });
  const second = await bench.open("twin");
  const [byFirst, bySecond] = [notesOf(first), notesOf(second)];
  await sender.sendMessage("twin", "note", 1);
  await hears(first, byFirst, 1);
  proxy.refuse();
  await sender.sendMessage("twin", "note", 2);
  await hears(second, bySecond, 2);
  const back = next(first, "state", ({ to }) => to.name === "online");
  proxy.restore();
  await back;
  await sender.sendMessage("twin", "note", 3);
  await hears(second, bySecond, 3);
  expect(byFirst).toEqual([1]);
  expect(bySecond.slice(-2)).toEqual([2, 3]); // before them 1, where the cut kept the first from saying that it was handled
});

test("processes that want every message get every message, whoever handles it, also what came while they were away", async () => {
  const proxy = await startTcpProxy(bench.stack.url);
  bench.defer(() => proxy.close());
  const sender = await bench.open("sender");
  const first = await bench.open("twin", { deliverTo: "all" });
  const second = await bench.open("twin", { deliverTo: "all", url: proxy.url });
  const third = await bench.open("twin"); // that wants those which are its turn
  const [byFirst, bySecond, byThird] = [notesOf(first), notesOf(second), notesOf(third)];
  await sender.sendMessage("twin", "note", 1);
  await Promise.all([hears(first, byFirst, 1), hears(second, bySecond, 1), hears(third, byThird, 1)]);
  const gone = next(second, "state", ({ to }) => to.name === "reconnecting");
  proxy.refuse();
  await gone;
  await sender.sendMessage("twin", "note", 2);
  await Promise.all([hears(first, byFirst, 2), hears(third, byThird, 2)]);
  proxy.restore();
  await hears(second, bySecond, 2);
  expect([byFirst, bySecond, byThird]).toEqual([
    [1, 2],
    [1, 2],
    [1, 2],
  ]);
});
