import { expect, test } from "vitest";
import { violations, type Process, type Sent, type Story } from "./check.ts";

const processes = new Map<string, Process>([
  ["a 0", { agent: "a", ended: "no" }],
  ["b 1", { agent: "b", ended: "lost" }],
  ["b 2", { agent: "b", ended: "no" }],
]);
const sent = (n: number, rest: Partial<Sent> = {}): Sent => ({
  n,
  from: "a",
  to: "b",
  isAcknowledged: true,
  witnesses: [],
  ...rest,
});
const story = (rest: Partial<Story>): Story => ({
  sends: [],
  heard: [],
  processes,
  tasks: [],
  leases: [],
  ...rest,
});
const heard = (...all: readonly (readonly [n: number, process: string])[]): Story["heard"] =>
  all.map(([n, process]) => ({ n, process }));

test("a story in which all is well has no violations", () => {
  const fine = story({
    sends: [
      sent(1),
      sent(2),
      sent(3, { isAcknowledged: false }),
      sent(4, { to: undefined, witnesses: ["b 2"] }),
    ],
    heard: heard([1, "b 1"], [1, "b 2"], [2, "b 2"], [4, "b 2"]),
    tasks: [{ taskId: "t", isAcknowledged: true, status: "completed" }],
  });
  expect(violations(fine)).toEqual([]);
});

test.each<[string, Partial<Story>, string]>([
  ["lost", { sends: [sent(1)] }, "1 from a to b was acknowledged and never handled"],
  [
    "handled by somebody else",
    { sends: [sent(1)], heard: heard([1, "a 0"]) },
    "1 from a to b was acknowledged and never handled",
  ],
  [
    "a broadcast that a witness never heard",
    { sends: [sent(1, { to: undefined, witnesses: ["b 1", "b 2"] })], heard: heard([1, "b 1"]) },
    "broadcast 1 from a was acknowledged and never heard by b 2",
  ],
  ["twice", { sends: [sent(1)], heard: heard([1, "b 2"], [1, "b 2"]) }, "1 was handled 2 times by b 2"],
  [
    "again, though the first lived",
    { sends: [sent(1)], heard: heard([1, "b 2"], [1, "b 1"]) },
    "1 was handled by b 2 and b 1",
  ],
  [
    "out of order",
    { sends: [sent(1), sent(2)], heard: heard([2, "b 2"], [1, "b 2"]) },
    "b 2 handled 1 of a after 2",
  ],
  [
    "a task without an end",
    { tasks: [{ taskId: "t", isAcknowledged: true, status: "in_progress" }] },
    "task t is in_progress at the end",
  ],
  [
    "a task that is gone",
    { tasks: [{ taskId: "t", isAcknowledged: true, status: undefined }] },
    "task t is lost at the end",
  ],
  ["a lease that is left", { leases: [{ taskId: "t", agent: "b" }] }, "task t is still leased to b"],
])("%s is a violation", (_, rest, violation) => {
  expect(violations(story(rest))).toEqual([violation]);
});
