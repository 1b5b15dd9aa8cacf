import { expect, test } from "vitest";
import { canStartThread } from "./start-thread.node.ts";

test("a thread can be started where its file is, and not where a bundler left it behind", () => {
  const writer = new URL("../memory/local/writer-worker.node.js", import.meta.url);
  expect(canStartThread(writer)).toBe(true);
  expect(canStartThread(new URL("./writer-worker.node.js", import.meta.url))).toBe(false);
  expect(canStartThread(new URL("data:text/javascript,0"))).toBe(false);
});
