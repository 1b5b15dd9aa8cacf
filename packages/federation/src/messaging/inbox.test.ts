import { expect, test } from "vitest";
import { FederationError } from "../runtime/errors.ts";
import { broadcast, failing, openInbox, page, row, succeeded, turns } from "./testing/open-inbox.ts";

test("a message is delivered once, however often and whichever way it is heard of, and marked", async () => {
  const { inbox, clock, handled, marks } = openInbox({
    pull: async (_max, after) => (after === 0 ? [row("1"), row("2")] : []),
  });
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("1") });
  inbox.pull();
  await turns();
  expect(handled).toEqual(["1", "2"]);
  await clock.advance(50);
  expect(marks.filter((mark) => mark.startsWith("handled")).toSorted()).toEqual(["handled 1", "handled 2"]);
  await inbox.close();
  expect(clock.pending).toBe(0);
});

test("live messages wait while older ones are read, so that each sender's stay in order", async () => {
  let answer = (_rows: unknown): void => {};
  const { inbox, handled } = openInbox({
    pull: (_max, after) => (after === 0 ? new Promise((resolve) => (answer = resolve)) : Promise.resolve([])),
  });
  inbox.pull();
  inbox.heardDirect({ message: row("3") });
  await turns();
  expect(handled).toEqual([]);
  answer([row("2", "b", { sender_seq: 20, seq: 5 }), row("1", "b", { sender_seq: 10, seq: 6 })]);
  await turns();
  expect(handled).toEqual(["1", "2", "3"]);
});

test("where reading is asked for once more while it runs, live messages wait for the second reading, too", async () => {
  const answers: ((rows: unknown) => void)[] = [];
  const { inbox, handled } = openInbox({
    pull: (_max, after) =>
      after === 0 ? new Promise((resolve) => answers.push(resolve)) : Promise.resolve([]),
  });
  inbox.pull();
  inbox.pull(); // the channel was away, and is back: what was said meanwhile came too late for the first reading
  inbox.heardDirect({ message: row("3") });
  answers[0]?.([row("1")]);
  await turns();
  expect(handled).toEqual(["1"]);
  answers[1]?.([row("1"), row("2")]);
  await turns();
  expect(handled).toEqual(["1", "2", "3"]);
});

test("a message that nobody listens for waits for a listener, unhandled", async () => {
  const { inbox, clock, handled, marks, listening } = openInbox();
  inbox.heardDirect({ message: row("1", "b", { type: "later" }) });
  await clock.advance(50);
  expect(handled).toEqual([]);
  expect(marks).toEqual(["delivered 1"]);
  expect(inbox.waiting).toBe(1);
  listening.add("later");
  inbox.retryHeld();
  await clock.advance(50);
  expect(handled).toEqual(["1"]);
  expect(marks).toEqual(["delivered 1", "handled 1"]);
});

test("what was handled while the database was away is marked when it is back, and for good failures nothing is tried again", async () => {
  const failures = [new FederationError("timeout", "away"), new FederationError("unreachable", "away")];
  const tried: string[] = [];
  const { inbox, clock } = openInbox({
    mark: async (ids, state) => {
      tried.push(`${state} ${ids.join()}`);
      const failure = state === "handled" ? failures.shift() : undefined;
      if (failure !== undefined) throw failure;
    },
  });
  inbox.heardDirect({ message: row("1") });
  await clock.advance(50);
  inbox.heardDirect({ message: row("2") });
  await clock.advance(2_100);
  expect(tried).toEqual(["handled 1", "handled 1,2", "handled 1,2"]);
  failures.push(new FederationError("forbidden", "no"));
  inbox.heardDirect({ message: row("3") });
  await clock.advance(10_000);
  expect(tried.slice(3)).toEqual(["handled 3"]);
  failures.push(new FederationError("timeout", "away"));
  inbox.heardDirect({ message: row("4") });
  await clock.advance(50);
  await inbox.close();
  expect(tried.slice(4)).toEqual(["handled 4", "handled 4"]); // once more, at the end
  expect(clock.pending).toBe(0);
});

test("what is being marked when the inbox closes, in vain, is marked once more at the end", async () => {
  const tried: string[] = [];
  let fail = (_error: Error): void => {};
  const { inbox, clock } = openInbox({
    mark: async (ids, state) => {
      tried.push(`${state} ${ids.join()}`);
      if (tried.length === 1) await new Promise((_done, failed) => (fail = failed));
    },
  });
  inbox.heardDirect({ message: row("1") });
  await clock.advance(50);
  const closing = inbox.close();
  await turns();
  fail(new FederationError("timeout", "away"));
  await closing;
  expect(tried).toEqual(["handled 1", "handled 1"]);
  expect(clock.pending).toBe(0);
});

test("a message whose handler fails is tried again, then a dead letter, and the sender's next one goes on", async () => {
  const { inbox, clock, marks } = openInbox({
    deliver: ({ id }) => (id === "1" ? failing : succeeded),
    count: async (ids) => ids.map((id) => ({ id, delivery_attempt: 1 + counts++, dead: false })),
  });
  let counts = 1;
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("2") });
  await clock.advance(50);
  expect(marks).toEqual(["failed 1 Error: no", "delivered 2", "begun 1"]);
  for (let wait = 0; wait < 4; wait++) await clock.advance(200);
  expect(marks.slice(3)).toEqual(["failed 1 Error: no", "dead 1 Error: no", "handled 2"]);
});

test("what a listener acknowledges by itself is handled then, and holds up nothing", async () => {
  let ack = (): void => {};
  const acked = new Promise<void>((resolve) => (ack = resolve));
  const { inbox, clock, marks } = openInbox({
    deliver: ({ id }) => (id === "1" ? { ...succeeded, acknowledged: () => acked } : succeeded),
  });
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("2") });
  await clock.advance(50);
  expect(marks.filter((mark) => mark.startsWith("handled"))).toEqual(["handled 2"]);
  ack();
  await clock.advance(50);
  expect(marks.at(-1)).toBe("handled 1");
});

test("a message that was read is counted before its handler begins, and not begun when that makes it a dead letter", async () => {
  const { inbox, handled } = openInbox({
    pull: async (_max, after) => (after === 0 ? [row("1"), row("2")] : []),
    count: async (ids) => ids.map((id) => ({ id, delivery_attempt: 3, dead: id === "1" })),
  });
  inbox.pull();
  await turns();
  await turns();
  expect(handled).toEqual(["2"]);
});

test("what expired while it waited for its turn is not delivered, when the database says so as well", async () => {
  let end = (_errors: Error[]): void => {};
  const first = new Promise<Error[]>((resolve) => (end = resolve));
  const asked: string[] = [];
  const handled: string[] = [];
  const { inbox, clock } = openInbox({
    deliver: ({ id }) => {
      handled.push(id);
      return id === "1" ? { ...succeeded, finished: first } : succeeded;
    },
    count: async (ids) => {
      asked.push(...ids);
      return ids.map((id) => ({ id, delivery_attempt: 0, dead: id === "2", expired: id === "2" }));
    },
  });
  const expires_at = new Date(clock.now() + 1000).toISOString();
  inbox.heardDirect({ message: row("1") });
  inbox.heardDirect({ message: row("2", "b", { expires_at }) });
  inbox.heardDirect({ message: row("3", "b", { expires_at }) });
  inbox.heardDirect({ message: row("4") });
  await clock.advance(1000);
  end([]);
  await turns();
  expect(handled).toEqual(["1", "3", "4"]);
  expect(asked).toEqual(["2", "3"]);
});

test("no handler begins once the inbox is closed, nor for another's turn, though its delivery was being counted", async () => {
  for (const end of ["closed", "another's turn"]) {
    let answer = (_counted: unknown[]): void => {};
    let isMyTurn = true;
    const { inbox, handled, marks } = openInbox({
      isMyTurn: () => isMyTurn,
      pull: async (_max, after) => (after === 0 ? [row("1")] : []),
      count: () => new Promise((resolve) => (answer = resolve)),
    });
    inbox.pull();
    await turns();
    if (end === "closed") void inbox.close();
    else isMyTurn = false;
    answer([{ id: "1", delivery_attempt: 1, dead: false }]);
    await turns();
    expect([end, handled]).toEqual([end, []]);
    expect(marks).toContain("undone 1");
  }
});

test("an inbox that cannot be read is read again, and what arrives meanwhile is delivered behind what was there", async () => {
  let reads = 0;
  const { inbox, clock, handled } = openInbox({
    pull: async (_max, after) => {
      if (reads++ === 0) throw new FederationError("unreachable", "down");
      return after === 0 ? [row("1")] : [];
    },
  });
  inbox.pull();
  inbox.heardDirect({ message: row("2") });
  await turns();
  expect(handled).toEqual([]);
  await clock.advance(2000);
  expect(handled).toEqual(["1", "2"]);
});

test("an announcement without the row is read, one for somebody else is dropped", async () => {
  const { inbox, handled } = openInbox({
    pull: async (_max, after) => (after === 0 ? [row("1")] : []),
    readOne: async (id) => broadcast(id),
  });
  inbox.heardDirect({ id: "1" });
  inbox.heardBroadcast({ id: "2" });
  inbox.heardDirect({ message: row("3", "b", { to_agent: "other" }) });
  inbox.heardBroadcast({ message: row("4", "me", { to_agent: undefined }) }); // one's own
  await turns();
  expect(handled).toEqual(expect.arrayContaining(["1", "2"]));
  expect(handled).toHaveLength(2);
});

test("messages announced together are delivered in their order; where one of them is too large to be carried all are read", async () => {
  const { inbox, handled } = openInbox({
    pull: async (_max, after) => (after === 0 ? [row("3"), row("4")] : []),
  });
  inbox.heardDirect({ messages: [row("1"), row("2"), row("9", "b", { to_agent: "other" })] });
  await turns();
  expect(handled).toEqual(["1", "2"]);
  inbox.heardDirect({ messages: [row("3"), { id: "4" }] });
  await turns();
  expect(handled).toEqual(["1", "2", "3", "4"]);
  inbox.heardBroadcast({ messages: [broadcast("5"), broadcast("6")] });
  await turns();
  expect(handled).toEqual(["1", "2", "3", "4", "5", "6"]);
});

test("a reply among messages announced together goes to who waits for it, also where another process handles messages", async () => {
  const taken: string[] = [];
  const { inbox, handled } = openInbox({
    isMyTurn: () => false,
    tookReply: ({ id }) => id === "2" && taken.push(id) > 0,
  });
  inbox.heardDirect({ messages: [row("1"), row("2")] });
  await turns();
  expect([taken, handled]).toEqual([["2"], []]);
});

test("every page of the inbox is read, a short one as well", async () => {
  const all = Array.from({ length: 7 }, (_, index) => row(String(index + 1)));
  const { inbox, handled } = openInbox({
    pull: async (_max, after) => all.filter((each) => Number(each["seq"]) > after).slice(0, 3),
  });
  inbox.pull();
  await turns();
  expect(handled).toEqual(["1", "2", "3", "4", "5", "6", "7"]);
});

test("a process that wants every message reads those that another one has handled, too, as from a moment on", async () => {
  const { inbox, handled } = openInbox({
    isShared: true,
    pull: async (_max, after) => (after === 0 ? [row("1")] : []),
    pullMissed: async (box, cursor) => page(box === "inbox" && cursor !== null ? [row("1"), row("2")] : []),
  });
  inbox.pull();
  await turns();
  expect(handled).toEqual(["1", "2"]);
});
