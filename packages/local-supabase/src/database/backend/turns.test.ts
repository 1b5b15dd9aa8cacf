import { expect, test } from "vitest";
import { Turns } from "./turns.ts";

/** Tasks that end when the test says so, by name. */
function open(atOnce: number) {
  const turns = new Turns(atOnce);
  const begun: string[] = [];
  const ends = new Map<string, () => void>();
  const take = (name: string, signal?: AbortSignal): Promise<string | undefined> =>
    turns.take(() => {
      begun.push(name);
      return new Promise((resolve) => ends.set(name, () => resolve(name)));
    }, signal);
  return { take, begun, end: (name: string) => ends.get(name)?.() };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("so many work at a time, the others in the order in which they asked", async () => {
  const { take, begun, end } = open(2);
  const all = ["a", "b", "c", "d"].map((name) => take(name));
  await turn();
  expect(begun).toEqual(["a", "b"]);
  end("b");
  await turn();
  expect(begun).toEqual(["a", "b", "c"]);
  for (const name of ["a", "c"]) end(name);
  await turn();
  end("d");
  expect(await Promise.all(all)).toEqual(["a", "b", "c", "d"]);
});

test("who gives up is not run, and nobody waits behind it; who works ends as it would", async () => {
  const { take, begun, end } = open(1);
  const [working, waiting] = [new AbortController(), new AbortController()];
  const first = take("first", working.signal);
  const second = take("second", waiting.signal);
  const third = take("third");
  waiting.abort();
  expect(await second).toBeUndefined();
  working.abort();
  end("first");
  expect(await first).toBe("first");
  await turn();
  expect(begun).toEqual(["first", "third"]);
  expect(await take("never", waiting.signal)).toBeUndefined();
  end("third");
  expect(await third).toBe("third");
  expect(await take("late", waiting.signal)).toBeUndefined();
  expect(begun).toEqual(["first", "third"]);
});

test("a task that fails passes its turn on", async () => {
  const turns = new Turns(1);
  const failed = turns.take(() => Promise.reject(new Error("no")));
  const next = turns.take(async () => "next");
  await expect(failed).rejects.toThrow("no");
  expect(await next).toBe("next");
});
