import { expect, test } from "vitest";
import type { CoordinationMessage } from "./messaging/message.ts";
import { next, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench();

test("a sender can wait until its message was delivered, and until it was handled, and is told of each", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  let finish = (): void => {};
  b.on("message:work", () => new Promise<void>((resolve) => (finish = resolve)));
  const began = next(b, "message:work");
  const told: unknown[] = [];
  a.on("message:receipt", ({ payload, reply_to }) => {
    expect(payload.id).toBe(reply_to);
    told.push(payload.handled_at === undefined ? "delivered" : "handled");
  });
  const sent = await a.sendMessage("b", "work", 1, { waitFor: "delivered" });
  await began;
  const before = await a.getMessage(sent.id);
  expect(before).toMatchObject({ id: sent.id, to_agent: "b", payload: 1 });
  expect(before?.delivered_at).toBeDefined();
  expect(before?.handled_at).toBeUndefined();
  const handled = a.waitForMessage(sent.id, "handled");
  finish();
  expect((await handled).handled_at).toBeDefined();
  expect(told.at(-1)).toBe("handled");
});

test("who waits for a message that nobody takes is told so in time, and the message is stored all the same", async () => {
  const [a, c] = [await bench.open("a"), await bench.open("c")];
  const failed = a.sendMessage("absent", "note", 1, { id: "n1", waitFor: "delivered", timeoutMs: 50 });
  await expect(failed).rejects.toMatchObject({ code: "timeout" });
  expect(await a.getMessage("n1")).toMatchObject({ to_agent: "absent", payload: 1 });
  // Neither another agent of the tenant nor the same name in another sees it.
  const stranger = await bench.open("a", {}, `${bench.tenant}-other`);
  for (const hub of [c, stranger]) {
    expect(await hub.getMessage("n1")).toBeUndefined();
    expect(await hub.listMessages()).toEqual([]);
    await expect(hub.waitForMessage("n1", "delivered")).rejects.toMatchObject({ code: "not_found" });
  }
});

test("messages are listed newest first, in pages, by box, state, type and peer", async () => {
  const a = await bench.open("a");
  for (const note of [1, 2, 3]) await a.sendMessage("b", "note", note);
  await a.sendMessage("c", "other", 4);
  const page = await a.listMessages({ box: "sent", state: "waiting", limit: 2 });
  expect(page.map(({ payload }) => payload)).toEqual([4, 3]);
  const rest = await a.listMessages({ box: "sent", before: page.at(-1)?.seq ?? 0 });
  expect(rest.map(({ payload }) => payload)).toEqual([2, 1]);
  expect((await a.listMessages({ type: "other" })).map(({ payload }) => payload)).toEqual([4]);
  expect(await a.listMessages({ peer: "c", state: "handled" })).toEqual([]);
  expect(await a.listMessages({ box: "inbox" })).toEqual([]);
});

test("a request resolves to its reply, and two may ask each other while they answer", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  a.on("message:name", (message) => message.reply("alice"));
  b.on("message:greet", async (message) => {
    const { payload } = await b.request("a", "name", null);
    await message.reply(`hello ${String(payload)}`);
    await message.reply("a second answer changes nothing");
  });
  const reply = await a.request("b", "greet", null);
  expect(reply).toMatchObject({ from_agent: "b", type: "reply", payload: "hello alice" });
});

test("a request outlives the process that made it: the next one takes it up, whether it was answered before or after", async () => {
  const first = await bench.open("a");
  const abandoned = first.request("b", "sum", [1, 2], { requestId: "r1", signal: AbortSignal.abort() });
  await expect(abandoned).rejects.toThrow();
  const asked = first.request("b", "sum", [1, 2], { requestId: "r1" });
  const lost = expect(asked).rejects.toMatchObject({ code: "closed" });
  await expect.poll(() => first.getMessage("r1")).toBeDefined();
  await first.shutdown();
  await lost;
  const b = await bench.open("b");
  let asks = 0;
  b.on("message:sum", async (message) => {
    asks++;
    await message.reply(3);
  });
  const second = await bench.open("a");
  const again = { requestId: "r1" };
  expect((await second.request("b", "sum", [1, 2], again)).payload).toBe(3);
  expect((await second.request("b", "sum", [1, 2], again)).payload).toBe(3);
  expect(asks).toBe(1);
  await expect(second.request("b", "sum", [9], again)).rejects.toMatchObject({ code: "conflict" });
});

test("a request outlives the process that was to answer it: the next one does", async () => {
  const [a, first] = [await bench.open("a"), await bench.open("b")];
  first.on("message:sum", () => new Promise<void>(() => {}));
  const began = next(first, "message:sum");
  const asked = a.request("b", "sum", [1, 2]);
  await began;
  await first.shutdown();
  const second = await bench.open("b");
  second.on("message:sum", (message) => message.reply(3));
  expect(await asked).toMatchObject({ from_agent: "b", payload: 3 });
});

test("who asks for help gets the offers one by one, from whoever answers", async () => {
  const [a, b, c] = [await bench.open("a"), await bench.open("b"), await bench.open("c")];
  b.on("message:request_help", (message) => message.reply("b can"));
  c.on("message:request_help", ({ id, payload }) =>
    c.sendMessage(payload.from, "share_knowledge", { knowledge: "c knows" }, { replyTo: id }),
  );
  const asked = await a.requestHelp("stuck");
  expect(asked).toMatchObject({ type: "request_help", payload: { problem: "stuck", from: "a" } });
  const offers: CoordinationMessage[] = [];
  for await (const offer of asked.offers()) {
    offers.push(offer);
    if (offers.length === 2) break;
  }
  expect(offers.map(({ from_agent }) => from_agent).toSorted()).toEqual(["b", "c"]);
});

test("a receipt cannot be sent", async () => {
  const a = await bench.open("a");
  await expect(a.sendMessage("b", "receipt", { id: "x" })).rejects.toThrow(/receipts_are_not_sent/);
});

test("what a handler fails at is tried again, then a dead letter with the last error; later ones go on, and it can be requeued", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b", { maxDeliveries: 2 })];
  const attempts: unknown[] = [];
  let isBroken = true;
  b.on("message:bad", ({ delivery_attempt }) => {
    attempts.push(delivery_attempt);
    if (isBroken) throw new Error("not today");
  });
  const later = next(b, "message:good");
  const bad = await a.sendMessage("b", "bad", 1);
  await a.sendMessage("b", "good", 2);
  await expect(a.waitForMessage(bad.id, "handled")).rejects.toMatchObject({ code: "undelivered" });
  await later;
  expect(attempts).toEqual([1, 2]);
  const [dead] = await b.listMessages({ box: "inbox", state: "dead" });
  expect(dead).toMatchObject({ id: bad.id, last_error: "Error: not today", delivery_attempt: 2 });
  isBroken = false;
  expect(await b.requeueMessage(bad.id)).toBe(true);
  await a.waitForMessage(bad.id, "handled");
  expect(attempts).toEqual([1, 2, 1]);
});

test("what is acknowledged by hand is handled then; what is not comes again to the next process", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b")];
  b.on("message:job", (message) => message.payload === 1 && message.ack(), { ack: "manual" });
  const kept = await a.sendMessage("b", "job", 2);
  await a.sendMessage("b", "job", 1, { waitFor: "handled" });
  expect((await a.getMessage(kept.id))?.handled_at).toBeUndefined();
  await b.shutdown();
  const again = await bench.open("b");
  const heard = await next(again, "message:job");
  expect(heard).toMatchObject({ id: kept.id, payload: 2, delivery_attempt: 2 });
});

test("two agents that answer each other for ever are stopped, and what they send carries the trace and the chain on", async () => {
  const options = { maxHops: 3, maxDeliveries: 1 };
  const [a, b] = [await bench.open("a", options), await bench.open("b", options)];
  const heard: CoordinationMessage[] = [];
  for (const [hub, other] of [
    [a, "b"],
    [b, "a"],
  ] as const)
    hub.on("message:thanks", async (message) => {
      heard.push(message);
      await hub.sendMessage(other, "thanks", null);
    });
  const stopped = next(b, "error");
  const first = await a.sendMessage("b", "thanks", null, { traceparent: "00-1" });
  // The first is hop 0 and goes to b; hop 3 reaches a, which may send no more.
  const stoppedAtA = next(a, "error");
  const { error } = await Promise.race([stopped, stoppedAtA]);
  expect(error).toMatchObject({ code: "loop" });
  expect(heard.map(({ hop_count }) => hop_count)).toEqual([0, 1, 2, 3]);
  expect(heard.slice(1).map(({ correlation_id }) => correlation_id)).toEqual(Array(3).fill(first.id));
  expect(new Set(heard.map(({ traceparent }) => traceparent))).toEqual(new Set(["00-1"]));
});
