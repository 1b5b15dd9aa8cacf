import { expect, test } from "vitest";
import { WritePace } from "./write-pace.ts";

function movable() {
  let nowMs = 5_000;
  const due: { atMs: number; call: () => void }[] = [];
  const pace = new WritePace({
    nowMs: () => nowMs,
    after: (ms, call) => {
      const timer = { atMs: nowMs + ms, call };
      due.push(timer);
      return () => void due.splice(due.indexOf(timer), 1);
    },
  });
  const move = (ms: number): void => {
    nowMs += ms;
    for (const timer of due.splice(0)) {
      if (timer.atMs <= nowMs) timer.call();
      else due.push(timer);
    }
  };
  return { pace, move, due };
}

test("writes are quick from the second look within a second on, until a second passes without one", () => {
  const { pace, move } = movable();
  pace.looked();
  expect(pace.isQuick).toBe(false);
  move(999);
  pace.looked();
  expect(pace.isQuick).toBe(true);
  move(999);
  expect(pace.isQuick).toBe(true);
  pace.looked();
  move(1_000);
  expect(pace.isQuick).toBe(false);
  pace.looked();
  expect(pace.isQuick).toBe(false);
});

test("who waits for slow writes is called once they are, also where more came meanwhile, and the last who asked alone", () => {
  const { pace, move, due } = movable();
  const called: string[] = [];
  pace.looked();
  pace.looked();
  pace.whenSlow(() => called.push("first"));
  pace.whenSlow(() => called.push("second"));
  move(500);
  pace.looked();
  move(500);
  expect(called).toEqual([]);
  move(500);
  expect(called).toEqual(["second"]);
  expect(due).toEqual([]);
});

test("nobody is called any more once it was stopped", () => {
  const { pace, move } = movable();
  let isCalled = false;
  pace.whenSlow(() => (isCalled = true));
  pace.stop();
  move(10_000);
  expect(isCalled).toBe(false);
});
