import type { RealtimeChannel } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import type { BroadcastFrame } from "./message.ts";
import { RoomBroadcasts, type RoomBroadcastsParts } from "./room-broadcasts.ts";

function open(
  answer: () => Promise<string>,
  parts: Partial<RoomBroadcastsParts> = {},
): { broadcasts: RoomBroadcasts; clock: TestClock; frames: BroadcastFrame[] } {
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
    whenJoined: async () => channel,
    canSend: () => true,
    ...parts,
  });
  return { broadcasts, clock, frames };
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
