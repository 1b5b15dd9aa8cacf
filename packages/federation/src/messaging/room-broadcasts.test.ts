import type { RealtimeChannel } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { BroadcastFrame } from "./message.ts";
import { RoomBroadcasts, type RoomBroadcastsParts } from "./room-broadcasts.ts";

function open(
  answer: () => Promise<string>,
  parts: Partial<RoomBroadcastsParts> = {},
): { broadcasts: RoomBroadcasts; clock: TestClock; frames: BroadcastFrame[]; dropped: FederationError[] } {
  const dropped: FederationError[] = [];
  const clock = new TestClock();
  const frames: BroadcastFrame[] = [];
  const send = ({ payload }: { payload: BroadcastFrame }): Promise<string> => {
    frames.push(payload);
    return answer();
  };
  const channel = { send } as unknown as RealtimeChannel; // the one method that broadcasts use
  const broadcasts = new RoomBroadcasts({
    agentId: "me",
    clock,
    timeoutMs: 1000,
    maxBytes: 10_000,
    latency: "low",
    planMessagesPerSecond: undefined,
    hubsOnline: () => 2,
    onDropped: (error) => dropped.push(error),
    whenJoined: async () => channel,
    canSend: () => true,
    ...parts,
  });
  return { broadcasts, clock, frames, dropped };
}

test.each([
  ["timed out", "timeout"],
  ["error", "forbidden"],
])("an answer of %j rejects with %s", async (answer, code) => {
  const { broadcasts } = open(async () => answer);
  await expect(broadcasts.send("x", {}, 2)).rejects.toMatchObject({ code });
});

test("a send whose channel dies under it does not hang", async () => {
  const { broadcasts, clock } = open(() => new Promise(() => {}));
  const outcome = expect(broadcasts.send("x", {}, 2)).rejects.toMatchObject({ code: "timeout" });
  await clock.advance(2000);
  await outcome;
  expect(clock.pending).toBe(0);
});

test("a room that is not joined is never bypassed", async () => {
  const lost = open(async () => "ok", { canSend: () => false });
  await expect(lost.broadcasts.send("x", {}, 2)).rejects.toMatchObject({ code: "unreachable" });
  expect(lost.frames).toEqual([]);
  const never = open(async () => "ok", {
    whenJoined: () => Promise.reject(new FederationError("timeout", "not joined")),
  });
  await expect(never.broadcasts.send("x", {}, 2)).rejects.toThrow("not joined");
});

test("with high latency one frame carries many, in order, and each send learns how it ended", async () => {
  const { broadcasts, clock, frames } = open(async () => "ok", { latency: "high" });
  const sends = Promise.all([1, 2, 3].map((count) => broadcasts.send("tick", count, 1)));
  await clock.advance(100);
  await sends;
  expect(frames).toHaveLength(1);
  expect(frames[0]?.messages.map(({ payload }) => payload)).toEqual([1, 2, 3]);
  const failing = open(async () => "timed out", { latency: "high" });
  const outcomes = Promise.allSettled([
    failing.broadcasts.send("x", 1, 1),
    failing.broadcasts.send("x", 2, 1),
  ]);
  await failing.broadcasts.close();
  expect((await outcomes).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
});

test("a frame stays under the limit, and what alone is over it is refused", async () => {
  const { broadcasts, clock, frames } = open(async () => "ok", { latency: "high" });
  const sends = Promise.all([4000, 4000, 4000].map((size) => broadcasts.send("x", size, size)));
  await clock.advance(100);
  await sends;
  expect(frames.map(({ messages }) => messages.length)).toEqual([2, 1]);
  await expect(broadcasts.send("x", "", 10_000)).rejects.toMatchObject({ code: "too_large" });
});

test.each(["low", "high"] as const)(
  "10,000 a second fit into 100 messages a second, in order (%s)",
  async (latency) => {
    const { broadcasts, clock, frames, dropped } = open(async () => "ok", {
      latency,
      planMessagesPerSecond: 100,
      maxBytes: 256_000,
      timeoutMs: 10_000,
    });
    const sends: Promise<void>[] = [];
    for (let ms = 0; ms < 5_000; ms += 10) {
      for (let i = 0; i < 100; i++) sends.push(broadcasts.send("tick", sends.length, 5));
      await clock.advance(10);
    }
    await clock.advance(1_000);
    await Promise.all(sends);
    // In 6 s; the other hub has the other half, and each frame is sent once and delivered once.
    expect(frames.length * 2).toBeLessThanOrEqual(6 * 50);
    const heard = frames.flatMap(({ messages }) => messages.map(({ payload }) => payload));
    expect(heard).toEqual(sends.map((_, index) => index));
    for (const frame of frames) expect(JSON.stringify(frame).length).toBeLessThanOrEqual(256_000);
    expect(dropped).toEqual([]);
    await broadcasts.close();
    expect(clock.pending).toBe(0);
  },
);

test("with low latency each goes at once while the share lasts, then they share a frame", async () => {
  const { broadcasts, clock, frames } = open(async () => "ok", {
    planMessagesPerSecond: 8,
    timeoutMs: 10_000,
  });
  for (let i = 0; i < 5; i++) void broadcasts.send("x", i, 1);
  await clock.advance(0);
  expect(frames.map(({ messages }) => messages.length)).toEqual([1, 1]);
  await clock.advance(1_000);
  expect(frames.map(({ messages }) => messages.length)).toEqual([1, 1, 3]);
});

test("what the database announced here is taken off the share, and holds broadcasts up for no longer than two bursts", async () => {
  const { broadcasts, clock, frames } = open(async () => "ok", {
    planMessagesPerSecond: 8, // this hub's share: a burst of 4, 3 a second
    timeoutMs: 10_000,
  });
  broadcasts.announced();
  broadcasts.announced();
  for (let i = 0; i < 3; i++) void broadcasts.send("x", i, 1); // 2 each
  await clock.advance(0);
  expect(frames.map(({ messages }) => messages.length)).toEqual([1]);
  await clock.advance(1_000);
  expect(frames.map(({ messages }) => messages.length)).toEqual([1, 2]);
  for (let i = 0; i < 1_000; i++) broadcasts.announced();
  void broadcasts.send("x", 3, 1);
  await clock.advance(1_999);
  expect(frames).toHaveLength(2);
  await clock.advance(1);
  expect(frames).toHaveLength(3);
});

test("a server without a limit is asked for nothing", async () => {
  const { broadcasts, clock, frames } = open(async () => "ok");
  for (let i = 0; i < 1_000; i++) broadcasts.announced();
  void broadcasts.send("x", 0, 1);
  await clock.advance(0);
  expect(frames).toHaveLength(1);
});

test("what cannot be sent is rejected, and told with how many, why and what to do", async () => {
  const { broadcasts, clock, dropped } = open(async () => "ok", {
    planMessagesPerSecond: 1,
    hubsOnline: () => 100,
  });
  const outcomes = Promise.allSettled(Array.from({ length: 10_004 }, (_, i) => broadcasts.send("x", i, 1)));
  await clock.advance(1_000);
  expect((await outcomes).filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  expect(dropped.map(({ code }) => code)).toEqual(["busy", "busy"]);
  expect(dropped[0]?.message).toMatch(
    /10000 messages: not sent within 500 ms; 1 messages a second among 100 hubs.*raise/,
  );
  expect(dropped[1]?.message).toMatch(/3 messages: 10000 messages .* wait already\. Await/);
  expect(clock.pending).toBe(0);
});

test("closing sends what the plan still allows and tells of the rest", async () => {
  const { broadcasts, clock, frames, dropped } = open(async () => "ok", {
    planMessagesPerSecond: 4,
    hubsOnline: () => 20,
    timeoutMs: 60_000,
  });
  const sends = Promise.allSettled([1, 2, 3].map((count) => broadcasts.send("x", count, 1)));
  const closing = broadcasts.close();
  await clock.advance(3_000);
  await closing;
  expect((await sends).map(({ status }) => status)).toEqual(["fulfilled", "rejected", "rejected"]);
  expect(frames).toHaveLength(1);
  expect(dropped).toMatchObject([{ code: "closed" }]);
  expect(clock.pending).toBe(0);
});
