import { expect, test } from "vitest";
import { FederationError } from "../../runtime/errors.ts";
import { TestClock } from "../../runtime/testing/test-clock.ts";
import { createEmbedder, type EmbedderOptions } from "./create-embedder.ts";
import type { Embed } from "./embed.ts";

/** A model whose vector of a text is its length and its first character; it notes what it was asked. */
function model(options: Partial<EmbedderOptions> = {}) {
  const calls: (readonly string[])[] = [];
  const embed: Embed = async (texts) => {
    calls.push(texts);
    return texts.map((text) => [text.length, text.charCodeAt(0)]);
  };
  return { calls, embedder: createEmbedder({ embed, model: "lengths", ...options }) };
}

/** A model that answers when it is told to. */
function heldModel(options: Partial<EmbedderOptions> = {}) {
  const calls: {
    texts: readonly string[];
    signal: AbortSignal | undefined;
    answer: (vectors: unknown) => void;
  }[] = [];
  let onCall = (): void => undefined;
  const embed = ((texts, { signal } = {}) =>
    new Promise((resolve) => {
      calls.push({ texts, signal, answer: (vectors) => resolve(vectors as number[][]) }); // tests answer wrongly too
      onCall();
    })) satisfies Embed;
  const called = (count: number): Promise<void> =>
    new Promise((resolve) => {
      onCall = () => calls.length >= count && resolve();
      onCall();
    });
  return { calls, called, embedder: createEmbedder({ embed, model: "held", ...options }) };
}

test("an embedder says which model it is, and its dimension once that is known", async () => {
  const { embedder } = model();
  expect(embedder.model).toBe("lengths");
  expect(embedder.dimensions).toBeUndefined();
  expect(await embedder(["abc", "d"])).toEqual([Float32Array.of(3, 97), Float32Array.of(1, 100)]);
  expect(embedder.dimensions).toBe(2);
  expect(model({ dimensions: 2 }).embedder.dimensions).toBe(2);
});

test("calls that come together are one call of the model, and a text that comes twice is embedded once", async () => {
  const { calls, embedder } = model();
  const answers = await Promise.all([
    embedder(["a", "b"]),
    embedder(["b", "c", "b"]),
    embedder([]),
    embedder(["a"]),
  ]);
  expect(calls).toHaveLength(1);
  expect([...(calls[0] ?? [])].sort()).toEqual(["a", "b", "c"]);
  expect(
    answers.map((vectors) => vectors.map(([, code]) => String.fromCharCode(code ?? 0)).join("")),
  ).toEqual(["ab", "bcb", "", "a"]);
});

test("no call of the model is larger than maxBatch, nor are more than maxCalls made at once", async () => {
  const { calls, called, embedder } = heldModel({ maxBatch: 3, maxCalls: 2 });
  const texts = ["a", "b", "c", "d", "e", "f", "g", "h"];
  const answer = embedder(texts);
  await called(2);
  expect(calls.map((call) => call.texts.length)).toEqual([3, 3]);
  calls[0]?.answer([[1], [2], [3]]);
  await called(3);
  expect(calls[2]?.texts).toEqual(["g", "h"]);
  calls[1]?.answer([[4], [5], [6]]);
  calls[2]?.answer([[7], [8]]);
  expect((await answer).map(([first]) => first)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
});

test("what was embedded is kept, up to a limit, what was used last the longest", async () => {
  const { calls, embedder } = model({ maxCached: 2 });
  await embedder(["a"]);
  await embedder(["b"]);
  await embedder(["a"]);
  await embedder(["c"]);
  await embedder(["a"]);
  expect(calls).toEqual([["a"], ["b"], ["c"]]);
  await embedder(["b"]);
  expect(calls).toHaveLength(4);
  const uncached = model({ maxCached: 0 });
  await uncached.embedder(["a"]);
  await uncached.embedder(["a"]);
  expect(uncached.calls).toHaveLength(2);
});

test("a caller may change the vectors that it got", async () => {
  const { embedder } = model();
  const [vector] = await embedder(["abc"]);
  vector?.fill(0);
  expect(await embedder(["abc"])).toEqual([Float32Array.of(3, 97)]);
});

test.each([
  ["no list", undefined, "a list of vectors"],
  ["too few", [[1, 2]], "a vector for each of 2 texts"],
  [
    "another dimension",
    [
      [1, 2],
      [1, 2, 3],
    ],
    "2 numbers for text 2 of 2, got 3",
  ],
  [
    "no numbers",
    [
      [1, 2],
      ["1", 2],
    ],
    "finite numbers that fit 32 bits for text 2 of 2",
  ],
  [
    "not finite",
    [
      [1, Infinity],
      [1, 2],
    ],
    "finite numbers that fit 32 bits for text 1 of 2, got Infinity",
  ],
  [
    "beyond 32 bits",
    [
      [1, 1e39],
      [1, 2],
    ],
    "finite numbers that fit 32 bits",
  ],
  [
    "no direction",
    [
      [0, 1e-50],
      [1, 2],
    ],
    "a vector with a direction for text 1 of 2",
  ],
  ["no vector", [{}, [1, 2]], "a vector for text 1 of 2, got an object"],
  ["nothing in it", [[], []], "1 to 4096 numbers"],
])("vectors are checked: %s", async (_, answer, message) => {
  const { calls, called, embedder } = heldModel();
  const failing = expect(embedder(["a", "b"])).rejects.toMatchObject({
    code: "protocol",
    message: expect.stringContaining(message) as string,
  });
  await called(1);
  calls[0]?.answer(answer);
  await failing;
});

test("a declared dimension is held to from the first answer on", async () => {
  const { embedder } = model({ dimensions: 3 });
  await expect(embedder(["a"])).rejects.toThrow("expected 3 numbers for text 1 of 1, got 2");
});

test("a text that the model refuses fails the call it came with and no other, and is not kept", async () => {
  const asked: (readonly string[])[] = [];
  const embed: Embed = async (texts) => {
    asked.push(texts);
    if (texts.includes("bad")) throw new FederationError("invalid_argument", "not this one");
    return texts.map((text) => [text.length]);
  };
  const embedder = createEmbedder({ embed, model: "choosy" });
  const [first, second, third] = await Promise.allSettled([
    embedder(["a", "bb"]),
    embedder(["bad"]),
    embedder(["ccc"]),
  ]);
  expect(first).toMatchObject({ value: [Float32Array.of(1), Float32Array.of(2)] });
  expect(second).toMatchObject({ reason: { message: "not this one" } });
  expect(third).toMatchObject({ value: [Float32Array.of(3)] });
  const before = asked.length;
  await expect(embedder(["bad"])).rejects.toThrow("not this one");
  expect(asked.length).toBe(before + 1);
});

test("another failure fails all calls of the batch, once, and the next call asks again", async () => {
  let calls = 0;
  const embed: Embed = async (texts) => {
    if (++calls === 1) throw new FederationError("unreachable", "nobody there");
    return texts.map(() => [1]);
  };
  const embedder = createEmbedder({ embed, model: "flaky" });
  const results = await Promise.allSettled([embedder(["a"]), embedder(["b"])]);
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  expect(calls).toBe(1);
  expect(await embedder(["a"])).toEqual([Float32Array.of(1)]);
});

test("a caller that aborts is let go at once; the model is told when nobody waits any more", async () => {
  const { calls, called, embedder } = heldModel({ maxCalls: 1 });
  const [one, two, three] = [new AbortController(), new AbortController(), new AbortController()];
  const first = embedder(["a", "shared"], { signal: one.signal });
  const second = embedder(["shared"], { signal: two.signal });
  await called(1);
  const waiting = embedder(["later"], { signal: three.signal });
  const last = embedder(["last"]);

  const reason = new Error("changed my mind");
  one.abort(reason);
  await expect(first).rejects.toBe(reason);
  expect(calls[0]?.signal?.aborted).toBe(false);
  three.abort(reason);
  await expect(waiting).rejects.toBe(reason);
  two.abort(reason);
  await expect(second).rejects.toBe(reason);
  expect(calls[0]?.signal?.aborted).toBe(true);
  // The model never answered the first call; the next goes out all the same, without what nobody wants.
  await called(2);
  expect(calls[1]?.texts).toEqual(["last"]);
  calls[1]?.answer([[1]]);
  expect(await last).toEqual([Float32Array.of(1)]);
  await expect(embedder(["a"], { signal: one.signal })).rejects.toBe(reason);
});

test("no timer is left when all calls are done", async () => {
  const clock = new TestClock();
  const { embedder } = model({ clock });
  let isDone = false;
  const answer = embedder(["a"]).then(() => (isDone = true));
  while (!isDone) await clock.advance(0);
  await answer;
  expect(clock.pending).toBe(0);
});

test.each([
  [{ model: "" }, "model"],
  [{ model: "m".repeat(256) }, "model"],
  [{ dimensions: 0 }, "dimensions"],
  [{ dimensions: 4097 }, "dimensions"],
  [{ maxBatch: 0 }, "maxBatch"],
  [{ maxCalls: 1.5 }, "maxCalls"],
  [{ maxCached: -1 }, "maxCached"],
])("options are checked: %j", (options, name) => {
  expect(() => model(options)).toThrow(`embedder ${name}: expected`);
});
