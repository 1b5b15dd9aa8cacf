import { expect, test } from "vitest";
import { turns } from "../turns.ts";
import { Slice } from "./turn.ts";

test("works that run in one turn of the event loop share its time", async () => {
  await turns.next(); // a turn that nobody has used
  const [one, other] = [new Slice(), new Slice()];
  while (!one.isOver);
  expect(other.isOver).toBe(true);
  const order: string[] = [];
  const resume = async (name: string, slice: Slice): Promise<void> => {
    await slice.rest();
    order.push(name);
  };
  await Promise.all([resume("one", one), resume("other", other)]);
  expect(order).toEqual(["one", "other"]);
  expect([one.rests, other.rests]).toEqual([1, 1]);
});

test("who waits for something besides has a turn when that has come", async () => {
  const slice = new Slice();
  let come = (): void => {};
  const besides = new Promise<void>((resolve) => (come = resolve));
  let isBack = false;
  const back = slice.rest(() => besides).then(() => (isBack = true));
  await turns.next();
  expect(isBack).toBe(false);
  while (!slice.isOver); // somebody else has used this turn up
  come();
  await besides;
  await Promise.resolve();
  expect(isBack).toBe(false);
  await back;
});
