import { expect, test } from "vitest";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { silentLog } from "../runtime/log.ts";
import { InboxTurn } from "./inbox-turn.ts";

interface Bench {
  readonly turn: InboxTurn;
  readonly clock: TestClock;
  readonly asked: boolean[];
  readonly mine: number[];
}

/** A turn whose database gives these answers, one after the other; an error is thrown. */
function open(answers: readonly unknown[], isShared = false): Bench {
  const clock = new TestClock();
  const asked: boolean[] = [];
  const mine: number[] = [];
  const left = [...answers];
  const turn = new InboxTurn({
    isShared,
    clock,
    log: silentLog,
    validMs: 90_000,
    take: async (isAsked) => {
      asked.push(isAsked);
      const answer = left.shift();
      if (answer instanceof Error) throw answer;
      return answer;
    },
    onMine: () => void mine.push(clock.now()),
  });
  return { turn, clock, asked, mine };
}

const first = { first: true, ask_again_ms: null };
const wait = { first: false, ask_again_ms: 1000 };
const taken = { first: false, ask_again_ms: null };

test("whoever is alone has the turn at once, and doubts it until the database has said so again", async () => {
  const { turn, clock, asked, mine } = open([first, first]);
  expect(turn.isMine).toBe(false);
  turn.doubt();
  await clock.advance(0);
  expect([turn.isMine, asked, mine.length]).toEqual([true, [false], 1]);
  turn.doubt();
  expect(turn.isMine).toBe(false);
  await clock.advance(0);
  expect([turn.isMine, mine.length]).toEqual([true, 2]);
});

test("a holder that answers keeps the turn, and is asked again at the next beat", async () => {
  const { turn, clock, asked } = open([wait, taken, wait, first]);
  turn.ask();
  await clock.advance(999);
  expect(asked).toEqual([false]);
  await clock.advance(1);
  expect(asked).toEqual([false, true]);
  await clock.advance(60_000);
  expect([turn.isMine, asked.length]).toEqual([false, 2]);
  turn.beat();
  await clock.advance(1000);
  expect([turn.isMine, asked]).toEqual([true, [false, true, false, true]]);
});

test("a turn without a sign of life from the session is none, and comes back with it", async () => {
  const { turn, clock, mine } = open([first, first]);
  turn.ask();
  await clock.advance(60_000);
  turn.beat();
  await clock.advance(89_999);
  expect(turn.isMine).toBe(true);
  await clock.advance(1);
  expect(turn.isMine).toBe(false);
  turn.beat();
  await clock.advance(0);
  expect([turn.isMine, mine.length]).toEqual([true, 2]);
});

test("what cannot be read is asked again, and nothing is left when it closes", async () => {
  const { turn, clock, asked } = open([new Error("no network"), "nonsense", wait]);
  turn.ask();
  await clock.advance(4_000);
  expect(asked).toEqual([false, false, false]);
  const closing = turn.close();
  await clock.advance(0);
  await closing;
  expect([turn.isMine, clock.pending]).toEqual([false, 0]);
});

test("processes that all want every message ask nobody", async () => {
  const { turn, clock, asked, mine } = open([], true);
  turn.doubt();
  turn.beat();
  await clock.advance(0);
  expect([turn.isMine, asked, mine.length]).toEqual([true, [], 1]);
});
