import { expect, test } from "vitest";
import { Emitter } from "./emitter.ts";

interface Events {
  word: string;
  number: number;
}

function make(): { emitter: Emitter<Events>; failures: string[] } {
  const failures: string[] = [];
  const emitter = new Emitter<Events>((error, event) => failures.push(`${event}: ${String(error)}`));
  return { emitter, failures };
}

test("a listener hears events until the function that on returned is called", () => {
  const { emitter } = make();
  const heard: string[] = [];
  const remove = emitter.on("word", (word) => heard.push(word));
  emitter.emit("word", "one");
  remove();
  emitter.emit("word", "two");
  expect(heard).toEqual(["one"]);
  expect(emitter.listenerCount("word")).toBe(0);
});

test("a listener goes when its signal aborts", () => {
  const { emitter } = make();
  const heard: string[] = [];
  const controller = new AbortController();
  emitter.on("word", (word) => heard.push(word), { signal: controller.signal });
  controller.abort();
  emitter.on("word", (word) => heard.push(word), { signal: controller.signal });
  emitter.emit("word", "one");
  expect(heard).toEqual([]);
});

test("a listener that throws or rejects is reported, and the others are called", async () => {
  const { emitter, failures } = make();
  const heard: string[] = [];
  emitter.on("word", () => {
    throw new Error("thrown");
  });
  emitter.on("word", async () => {
    await Promise.resolve();
    throw new Error("rejected");
  });
  emitter.on("word", (word) => heard.push(word));
  const emission = emitter.emit("word", "one");
  expect(heard).toEqual(["one"]);
  expect(emission.listeners).toBe(3);
  expect(await emission.finished).toHaveLength(2);
  expect(failures).toEqual(["word: Error: thrown", "word: Error: rejected"]);
});

test("finished waits for the promises that listeners return", async () => {
  const { emitter } = make();
  let release = (): void => {};
  emitter.on("number", () => new Promise<void>((resolve) => (release = resolve)));
  let isFinished = false;
  const finished = emitter.emit("number", 1).finished.then(() => (isFinished = true));
  await Promise.resolve();
  expect(isFinished).toBe(false);
  release();
  await finished;
  expect(isFinished).toBe(true);
});

test("once hears one event, off removes a listener", () => {
  const { emitter } = make();
  const heard: string[] = [];
  const listener = (word: string): void => void heard.push(word);
  emitter.once("word", listener);
  emitter.emit("word", "one");
  emitter.on("word", listener);
  emitter.off("word", listener);
  emitter.emit("word", "two");
  expect(heard).toEqual(["one"]);
});
