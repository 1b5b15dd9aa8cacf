import fc from "fast-check";
import { expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import { exportMemories, type ExportOptions } from "./export-memories.ts";
import { importMemories, type ImportProgress } from "./import-memories.ts";
import { splitLines, type Line } from "./split-lines.ts";
import { MapSink } from "./testing/map-sink.ts";
import { anyMemory, memory } from "./testing/memories.node.ts";
import { isNewer, type MemorySource } from "./transfer-memory.ts";

async function exported(source: MemorySource, options?: ExportOptions): Promise<string> {
  let text = "";
  for await (const line of exportMemories(source, options)) text += line;
  return text;
}

const ids = (sink: MapSink): string[] => [...sink.memories.keys()].sort();

function* pieces<T extends string | Uint8Array>(whole: T, sizes: readonly number[]): Generator<T> {
  let at = 0;
  for (let turn = 0; at < whole.length; turn++) {
    const end = at + (sizes[turn % sizes.length] ?? 1);
    yield whole.slice(at, end) as T; // a piece is of the kind of the whole
    at = end;
  }
}

test("every memory comes back as it was, bit by bit, however the text is cut into pieces", async () => {
  const anyRun = fc.record({
    memories: fc.uniqueArray(anyMemory, { selector: ({ id }) => id, maxLength: 6 }),
    embeddings: fc.constantFrom("base64" as const, "numbers" as const),
    sizes: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 5 }),
    asBytes: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(anyRun, async ({ memories, embeddings, sizes, asBytes }) => {
      const source = new MapSink(memories);
      const text = await exported(source, { embeddings });
      const target = new MapSink();
      const result = await importMemories(
        asBytes ? pieces(Buffer.from(text), sizes) : pieces(text, sizes),
        target,
      );
      expect(result).toMatchObject({
        stored: memories.length,
        unchanged: 0,
        damagedCount: 0,
        isComplete: true,
      });
      expect(target.memories).toEqual(source.memories);
      for (const { id, embedding } of memories) {
        const bits = (numbers: ArrayLike<number> | null | undefined): number[] =>
          Array.from(new Int32Array(Float32Array.from(numbers ?? []).buffer));
        expect(bits(target.memories.get(id)?.embedding)).toEqual(bits(embedding));
      }
    }),
    { numRuns: 200 },
  );
});

test("an export is a header, a memory a line in the order of ids, and a line that says that this is all", async () => {
  const source = new MapSink([memory("b", { embedding: Float32Array.of(0.5, -1) }), memory("a")]);
  const lines = (await exported(source)).split("\n");
  expect(lines).toHaveLength(5);
  expect(lines[0]).toBe('{"format":"agent-federation-memories","version":1}');
  expect(lines[1]).toMatch(/^\{"id":"a","agent_id":"ann"/);
  expect(lines[2]).toMatch(/"embedding":"AAAAPwAAgL8="\}$/);
  expect(lines[3]).toBe('{"format":"agent-federation-memories","end":true}');
  expect(lines[4]).toBe("");
  expect(await exported(source, { embeddings: "numbers" })).toContain('"embedding":[0.5,-1]');
});

test("importing again changes nothing; what is newer there stays, what is newer here comes", async () => {
  const at = (ms: number) => ({ ms, counter: 0, writer: "w" });
  const text = await exported(new MapSink([memory("a", { hlc: at(5) }), memory("b", { hlc: at(5) })]));
  const target = new MapSink([
    memory("a", { content: "later", hlc: at(6) }),
    memory("b", { content: "earlier", hlc: at(4) }),
  ]);
  expect(await importMemories([text], target)).toMatchObject({ stored: 1, unchanged: 1 });
  expect(target.memories.get("a")?.content).toBe("later");
  expect(target.memories.get("b")?.content).toBe("the content of b");
  expect(await importMemories([text], target)).toMatchObject({ stored: 0, unchanged: 2 });
  expect(target.batches).toEqual([1]);
});

test("without clocks, the time of the last change decides", () => {
  const held = { updated_at: "2026-01-01T00:00:00.000Z" };
  expect(isNewer({ updated_at: "2026-01-01T02:00:00.000+01:00" }, held)).toBe(true);
  expect(isNewer({ updated_at: "2026-01-01T01:00:00.000+01:00" }, held)).toBe(false);
  expect(isNewer({ ...held, hlc: { ms: 9, counter: 0, writer: "w" } }, held)).toBe(false);
});

test("only id, agent, content and time need be there", async () => {
  const header = '{"format":"agent-federation-memories","version":1}';
  const line = '{"id":"a","agent_id":"bo","content":"by hand","created_at":"2026-01-01 00:00:00+00"}';
  const target = new MapSink();
  const result = await importMemories([`\ufeff${header}\r\n\r\n  ${line}\r\n`], target);
  expect(result).toMatchObject({ stored: 1, isComplete: false });
  expect(target.memories.get("a")).toEqual({
    ...memory("a", { agent_id: "bo", written_by: "bo", content: "by hand" }),
    created_at: "2026-01-01 00:00:00+00",
    updated_at: "2026-01-01 00:00:00+00",
    hlc: undefined,
  });
});

const header = '{"format":"agent-federation-memories","version":1}\n';
const good = (id: string): string =>
  `{"id":"${id}","agent_id":"ann","content":"c","created_at":"2026-01-01T00:00:00Z"}\n`;
const withField = (field: string): string => good("bad").replace("}", `,${field}}`);

test.each([
  ["not JSON", '{"id": "x", \n', "expected JSON"],
  ["no object", "[]\n", "expected a JSON object, got an array"],
  ["no id", '{"agent_id":"ann","content":"c","created_at":"2026-01-01T00:00:00Z"}\n', "id: expected text"],
  ["no time", '{"id":"x","agent_id":"ann","content":"c"}\n', "expected a time in created_at"],
  ["another hash", withField(`"content_hash":"${"0".repeat(64)}"`), "the hash in content_hash"],
  ["bad base64", withField('"embedding":"%"'), "embedding: expected base64"],
  ["half a number", withField('"embedding":"AAA="'), "expected 4 bytes a number"],
  ["only zeros", withField('"embedding":[0,0]'), "not zero"],
  ["a vector of text", withField('"embedding":["1"]'), "finite numbers"],
  ["no vector", withField('"embedding":{}'), "an array of numbers"],
  ["metadata of a list", withField('"metadata":[]'), "an object in metadata"],
  ["metadata with U+0000", withField('"metadata":{"a":["\\u0000"]}'), "text without U+0000"],
  [
    "metadata too deep",
    withField(`"metadata":{"a":${"[".repeat(501)}${"]".repeat(501)}}`),
    "at most 500 deep",
  ],
  ["half a pair in the source", withField('"source":{"\\ud800":1}'), "well-formed Unicode"],
  ["an agent that nobody can be", withField('"agent_id":"two words"'), "agent_id: expected 1 to 128 of"],
  ["an unknown scope", withField('"scope":"all"'), "agent, session or tenant"],
  ["a broken clock", withField('"hlc":{"ms":-1,"counter":0,"writer":"w"}'), "a whole number in hlc.ms"],
  ["half a surrogate pair", withField('"session_id":"\\ud800"'), "well-formed Unicode"],
  ["another format", '{"format":"something"}\n', "expected format agent-federation-memories"],
])("a damaged line is reported with its number: %s", async (_, line, reason) => {
  const text = header + good("a") + line + good("z");
  const stopped = new MapSink();
  const error: unknown = await importMemories([text], stopped).catch((thrown: unknown) => thrown);
  expect(isFederationError(error, "invalid_argument")).toBe(true);
  expect(String(error)).toContain("import: line 3: ");
  expect(String(error)).toContain(reason);
  expect(ids(stopped)).toEqual(["a"]);

  const skipped = new MapSink();
  const result = await importMemories([text], skipped, { onDamaged: "skip" });
  expect(result).toMatchObject({ stored: 2, damagedCount: 1 });
  expect(result.damaged).toEqual([{ line: 3, reason: expect.stringContaining(reason) as string }]);
  expect(ids(skipped)).toEqual(["a", "z"]);
});

test("bytes that are no UTF-8 are damage, not other letters", async () => {
  const text = Buffer.concat([
    Buffer.from(header + good("a")),
    Buffer.from([0x22, 0xff, 0x22, 10]),
    Buffer.from(good("z")),
  ]);
  await expect(importMemories([text], new MapSink())).rejects.toThrow("line 3: expected UTF-8");
});

test("of many damaged lines a hundred are listed and all are counted", async () => {
  const result = await importMemories([header + "?\n".repeat(250)], new MapSink(), { onDamaged: "skip" });
  expect(result.damaged).toHaveLength(100);
  expect(result.damagedCount).toBe(250);
});

test("a line too long for any memory is not held, and the next one is read", async () => {
  const lines: Line[] = [];
  for await (const line of splitLines(["aaaa\nbb", "bbbbbbbbbbbb", "bbb\ncc\n"], 10)) lines.push(line);
  expect(lines.map(({ number, text, problem }) => ({ number, text, problem }))).toEqual([
    { number: 1, text: "aaaa", problem: undefined },
    { number: 2, text: undefined, problem: "expected at most 10 bytes" },
    { number: 3, text: "cc", problem: undefined },
  ]);
  expect(lines.map(({ end }) => end)).toEqual([5, 23, 26]);
});

test.each([
  ["", "expected a header line, got nothing"],
  [good("a"), "got another"],
  ["hello\n", "expected JSON"],
  ['{"format":"agent-federation-memories","version":2}\n', "expected version 1, got 2"],
])("what does not begin like an export is refused: %j", async (text, message) => {
  await expect(importMemories([text], new MapSink(), { onDamaged: "skip" })).rejects.toThrow(message);
});

test("an export that was cut off anywhere gives what is before the cut, and the whole one then adds the rest, nothing twice", async () => {
  const source = new MapSink(
    ["a", "b", "ç", "d"].map((id) => memory(id, { embedding: Float32Array.of(1, 2) })),
  );
  const bytes = Buffer.from(await exported(source));
  for (let cut = header.length; cut < bytes.length; cut += 7) {
    const target = new MapSink();
    const first = await importMemories([bytes.subarray(0, cut)], target, { onDamaged: "skip" });
    expect(first.isComplete).toBe(false);
    const second = await importMemories([bytes], target);
    expect(second).toEqual({
      stored: 4 - first.stored,
      unchanged: first.stored,
      damaged: [],
      damagedCount: 0,
      isComplete: true,
    });
    expect(target.memories).toEqual(source.memories);
  }
});

test("an import goes on behind the line that it told of", async () => {
  const source = new MapSink(Array.from({ length: 25 }, (_, index) => memory(`m${index + 10}`)));
  const text = await exported(source);
  const target = new MapSink();
  const controller = new AbortController();
  let seen: ImportProgress | undefined;
  const reason = new Error("enough for today");
  const onProgress = (progress: ImportProgress): void => {
    seen = progress;
    if (progress.stored === 20) controller.abort(reason);
  };
  await expect(
    importMemories([text], target, { batchRows: 10, onProgress, signal: controller.signal }),
  ).rejects.toBe(reason);
  expect(seen).toEqual({ line: 21, stored: 20, unchanged: 0, damaged: 0 });
  const rest = await importMemories([text], target, { afterLine: seen?.line ?? 0 });
  expect(rest).toMatchObject({ stored: 5, unchanged: 0, isComplete: true });
  expect(target.memories).toEqual(source.memories);
});

test("an export goes on behind an id, to be appended", async () => {
  const source = new MapSink(["a", "b", "c"].map((id) => memory(id)));
  const whole = await exported(source);
  const upToB = whole.split("\n").slice(0, 3).join("\n") + "\n";
  expect(upToB + (await exported(source, { afterId: "b" }))).toBe(whole);
});

test("two exports one behind the other are one", async () => {
  const [first, second] = [new MapSink([memory("a")]), new MapSink([memory("b")])];
  const target = new MapSink();
  const result = await importMemories([await exported(first), await exported(second)], target);
  expect(result).toMatchObject({ stored: 2, isComplete: true });
});

test("of a memory that is there twice in an import the newer stays", async () => {
  const at = (ms: number) => ({ ms, counter: 0, writer: "w" });
  const [older, newer] = [
    memory("a", { hlc: at(1), content: "old" }),
    memory("a", { hlc: at(2), content: "new" }),
  ];
  for (const pair of [
    [older, newer],
    [newer, older],
  ]) {
    let text = "";
    for (const each of pair) text += await exported(new MapSink([each]));
    const target = new MapSink();
    expect(await importMemories([text], target)).toMatchObject({ stored: 1, unchanged: 1 });
    expect(target.memories.get("a")?.content).toBe("new");
  }
});

test("deleted memories are exported when asked for, and stay deleted", async () => {
  const deleted = memory("gone", {
    content: "",
    deleted_at: "2026-02-01T00:00:00.000Z",
    content_hash: "f".repeat(64),
  });
  const source = new MapSink([memory("a"), deleted]);
  expect(await exported(source)).not.toContain("gone");
  const target = new MapSink();
  await importMemories([await exported(source, { deleted: true })], target);
  expect(target.memories.get("gone")).toEqual(deleted);
});

test("large memories are stored a few at a time", async () => {
  const content = "x".repeat(1024 * 1024);
  const source = new MapSink(["a", "b", "c", "d", "e", "f", "g"].map((id) => memory(id, { content })));
  const target = new MapSink();
  await importMemories(exportMemories(source), target);
  expect(target.batches).toEqual([4, 3]);
});

test("a stream of the web is read as far as it is used, and cancelled", async () => {
  const source = new MapSink([memory("a"), memory("b")]);
  const text = await exported(source);
  const target = new MapSink();
  expect(await importMemories(new Blob([text]).stream(), target)).toMatchObject({
    stored: 2,
    isComplete: true,
  });

  let isCancelled = false;
  const endless = new ReadableStream<string>({
    pull: (controller) => controller.enqueue("?\n"),
    cancel: () => void (isCancelled = true),
  });
  await expect(importMemories(endless, new MapSink())).rejects.toThrow("header");
  expect(isCancelled).toBe(true);
});

test("an export that is aborted reads no further", async () => {
  const controller = new AbortController();
  const reason = new Error("stop");
  const lines: string[] = [];
  const read = async (): Promise<void> => {
    for await (const line of exportMemories(new MapSink([memory("a"), memory("b")]), {
      signal: controller.signal,
    })) {
      lines.push(line);
      if (lines.length === 2) controller.abort(reason);
    }
  };
  await expect(read()).rejects.toBe(reason);
  expect(lines).toHaveLength(2);
});
