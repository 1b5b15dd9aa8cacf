import fc from "fast-check";
import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { parseMemoryAnnouncement, toMemoryEvent } from "./memory-event.ts";
import {
  inSenderOrder,
  isDatabaseOnly,
  parseBroadcastFrame,
  parseStoredMessage,
  requireType,
  type CoordinationMessage,
} from "./message.ts";
import { Outbox } from "./outbox.ts";
import { SeenIds } from "./seen-ids.ts";
import { row, turns } from "./testing/open-inbox.ts";

test("a sender's messages come in the order of its numbers, and nothing is lost or added", () => {
  const anyMessage = fc.record({
    id: fc.uuid(),
    from_agent: fc.constantFrom("a", "b", "c"),
    sender_seq: fc.nat(50),
  });
  fc.assert(
    fc.property(fc.array(anyMessage), (sent) => {
      const messages: CoordinationMessage[] = sent.map((each) => ({
        ...each,
        type: "x",
        payload: null,
        timestamp: "2026-01-01T00:00:00Z",
        verified: true,
        hop_count: 0,
      }));
      const ordered = inSenderOrder(messages);
      expect(ordered.map((message) => message.id).toSorted()).toEqual(
        messages.map((message) => message.id).toSorted(),
      );
      expect(ordered.map((message) => message.from_agent)).toEqual(
        messages.map((message) => message.from_agent),
      );
      for (const name of ["a", "b", "c"]) {
        const numbers = ordered
          .filter((message) => message.from_agent === name)
          .map((message) => message.sender_seq ?? 0);
        expect(numbers).toEqual(numbers.toSorted((x, y) => x - y));
      }
    }),
  );
});

test("seen ids are bounded and forget the oldest first", () => {
  const seen = new SeenIds(3);
  expect(["a", "b", "a", "c", "d", "a"].map((id) => seen.add(id))).toEqual([
    true,
    true,
    false,
    true,
    true,
    true,
  ]);
  expect(["a", "b", "c", "d"].map((id) => seen.has(id))).toEqual(
    [true, false, true, true].toSpliced(2, 1, true),
  );
});

test("seen ids know up to which time they have forgotten some", () => {
  const seen = new SeenIds(2);
  seen.add("a", 5);
  seen.add("b", 9);
  expect(seen.droppedMs).toBe(-Infinity);
  seen.add("c", 7);
  expect(seen.droppedMs).toBe(5);
  seen.add("d", 8);
  expect(seen.droppedMs).toBe(9);
});

test("messages to one recipient are stored one after the other, with an id that stays the same and a number that grows", async () => {
  const clock = new TestClock();
  const calls: Record<string, unknown>[] = [];
  const answers: (() => void)[] = [];
  const outbox = new Outbox({
    clock,
    instanceId: "i",
    call: (_name, args) => {
      calls.push(args);
      return new Promise((resolve) => answers.push(() => resolve(row(String(args["id"]), "me"))));
    },
  });
  const sends = ["b", "b", "c", null].map((to) => outbox.send({ to, type: "x", payload: {}, options: {} }));
  await turns();
  expect(calls.map((call) => call["to_agent"])).toEqual(["b", "c", null]);
  answers.forEach((answer) => answer());
  await turns();
  expect(calls).toHaveLength(4);
  answers.at(-1)?.();
  await Promise.all(sends);
  await outbox.settled();
  const numbers = calls.map((call) => call["sender_seq"] as number); // what send_message is called with
  expect(new Set(numbers).size).toBe(4);
  expect(Math.min(...numbers)).toBe(clock.now() * 1000);
});

test("a failed message does not hold up the next one", async () => {
  let calls = 0;
  const outbox = new Outbox({
    clock: new TestClock(),
    instanceId: "i",
    call: async () => {
      if (calls++ === 0) throw new FederationError("forbidden", "no");
      return row("2", "me");
    },
  });
  const [first, second] = ["b", "b"].map((to) => outbox.send({ to, type: "x", payload: {}, options: {} }));
  await expect(first).rejects.toThrow("no");
  await expect(second).resolves.toMatchObject({ id: "2" });
});

test("what comes over the room is vouched for by nobody and carries no rows, receipts or task messages", () => {
  const said = {
    id: "1",
    from_agent: "b",
    type: "note",
    payload: 1,
    timestamp: "2026-01-01T00:00:00Z",
    verified: true,
  };
  const frame = (...messages: object[]): unknown => ({ messages });
  expect(parseBroadcastFrame(frame(said))).toMatchObject([{ id: "1", verified: false }]);
  for (const forged of [
    { ...said, to_agent: "me" },
    { ...said, seq: 1 },
    { ...said, type: "task_assignment" },
    { ...said, type: "task_complete" },
    { ...said, type: "receipt" },
    { ...said, from_agent: "a b" },
    { ...said, id: 7 },
  ]) {
    expect(parseBroadcastFrame(frame(forged))).toEqual([]);
  }
  fc.assert(
    fc.property(fc.anything(), (anything) => {
      for (const message of parseBroadcastFrame(anything)) expect(message.verified).toBe(false);
      parseStoredMessage(anything);
      parseMemoryAnnouncement(anything);
      toMemoryEvent("added", anything);
    }),
  );
  expect(["task_x", "note", "status_update"].map(isDatabaseOnly)).toEqual([true, false, false]);
});

test("times are ISO 8601 as JavaScript writes it", () => {
  expect(parseStoredMessage(row("1"))?.timestamp).toBe("2026-01-01T00:00:00.500Z");
});

test("a type is 1 to 128 characters", () => {
  expect(requireType("x")).toBe("x");
  for (const bad of ["", "x".repeat(129), undefined, 7])
    expect(() => requireType(bad)).toThrow(/message type/);
});
