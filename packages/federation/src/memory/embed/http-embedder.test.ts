import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { inspect } from "node:util";
import { afterEach, expect, test } from "vitest";
import { TestClock } from "../../runtime/testing/test-clock.ts";
import { createHttpEmbedder, type HttpEmbedderOptions } from "./create-http-embedder.ts";

const apiKey = "sk-very-secret-0123456789";

interface Question {
  readonly path: string;
  readonly authorization: string | undefined;
  readonly body: { readonly model: string; readonly input: string[]; readonly dimensions?: number };
}

type Answer = (question: Question, response: ServerResponse) => void;

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const close of closing.splice(0)) await close();
});

/** A server of embeddings that answers as the test says, one answer a request, the last one for all that follow. */
async function serve(...answers: Answer[]): Promise<{ url: string; questions: Question[] }> {
  const questions: Question[] = [];
  const server = createServer((request, response) => {
    void readQuestion(request).then((question) => {
      const answer = answers[Math.min(questions.length, answers.length - 1)];
      questions.push(question);
      answer?.(question, response);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closing.push(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo; // it listens on a port, not a pipe
  return { url: `http://127.0.0.1:${port}/v1`, questions };
}

async function readQuestion(request: IncomingMessage): Promise<Question> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk as Buffer); // no encoding is set
  const body = JSON.parse(Buffer.concat(chunks).toString()) as Question["body"]; // what we sent
  return { path: request.url ?? "", authorization: request.headers.authorization, body };
}

function send(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (_, response) => {
    response.writeHead(status, { "content-type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  };
}

function sendText(text: string): Answer {
  return (_, response) => {
    response.end(text);
  };
}

const vectorOf = (text: string): number[] => [text.length, 0.1, -1.5];

const embeddings: Answer = ({ body }, response) => {
  const data = body.input.map((text, index) => ({ object: "embedding", index, embedding: vectorOf(text) }));
  send(200, { object: "list", model: body.model, data })({ body } as Question, response);
};

const floats = (text: string): Float32Array => Float32Array.from(vectorOf(text));

function embedderAt(url: string, options: Partial<HttpEmbedderOptions> = {}) {
  return createHttpEmbedder({ url, apiKey, model: "small", ...options });
}

test("texts are posted with key, model and dimension, and vectors come back", async () => {
  const { url, questions } = await serve(embeddings);
  const embed = embedderAt(url, { dimensions: 3 });
  expect(await embed(["one", "three"])).toEqual([floats("one"), floats("three")]);
  expect(questions).toEqual([
    {
      path: "/v1/embeddings",
      authorization: `Bearer ${apiKey}`,
      body: { model: "small", encoding_format: "float", dimensions: 3, input: ["one", "three"] },
    },
  ]);
});

test("without key and dimension none is sent, and the dimension is what the first answer has", async () => {
  const { url, questions } = await serve(embeddings);
  const embed = createHttpEmbedder({ url, model: "small" });
  await embed(["a"]);
  expect(embed.dimensions).toBe(3);
  expect(questions[0]?.authorization).toBeUndefined();
  expect(questions[0]?.body).toEqual({ model: "small", encoding_format: "float", input: ["a"] });
});

test.each([
  ["", "/v1/embeddings"],
  ["/", "/v1/embeddings"],
  ["/v1/", "/v1/embeddings"],
  ["/openai/v2", "/openai/v2/embeddings"],
  ["/some/embeddings?version=1", "/some/embeddings?version=1"],
])("the address may be given with the path %j", async (path, asked) => {
  const { url, questions } = await serve(embeddings);
  await embedderAt(url.replace("/v1", path))(["a"]);
  expect(questions[0]?.path).toBe(asked);
});

test("more texts than maxBatch are several requests", async () => {
  const { url, questions } = await serve(embeddings);
  const texts = Array.from({ length: 10 }, (_, index) => "x".repeat(index + 1));
  expect(await embedderAt(url, { maxBatch: 4 })(texts)).toEqual(texts.map(floats));
  expect(questions.map(({ body }) => body.input.length).toSorted((a, b) => a - b)).toEqual([2, 4, 4]);
});

test("vectors are told apart by their index, not by their order", async () => {
  const { url } = await serve(({ body }, response) => {
    const data = body.input.map((text, index) => ({ index, embedding: vectorOf(text) })).toReversed();
    send(200, { data })({ body } as Question, response);
  });
  expect(await embedderAt(url)(["a", "bb", "ccc"])).toEqual([floats("a"), floats("bb"), floats("ccc")]);
});

test("vectors are read as base64 of 32-bit floats too", async () => {
  const { url, questions } = await serve(({ body }, response) => {
    const data = body.input.map((text, index) => ({
      index,
      embedding: Buffer.from(floats(text).buffer).toString("base64"),
    }));
    send(200, { data })({ body } as Question, response);
  });
  expect(await embedderAt(url, { encodingFormat: "base64" })(["a", "bb"])).toEqual([
    floats("a"),
    floats("bb"),
  ]);
  expect(questions[0]?.body).toMatchObject({ encoding_format: "base64" });
});

test.each([
  ["not JSON", sendText("<html>"), "expected JSON"],
  ["no data", send(200, { object: "list" }), "expected a list in data"],
  ["too few", send(200, { data: [] }), "expected 1 entries in data, got 0"],
  ["a wrong index", send(200, { data: [{ index: 1, embedding: [1] }] }), "an index from 0 to 0"],
  ["no embedding", send(200, { data: [{ index: 0 }] }), "numbers or base64 in embedding"],
  ["bad base64", send(200, { data: [{ index: 0, embedding: "%%%" }] }), "expected base64"],
  ["half a number", send(200, { data: [{ index: 0, embedding: "AAA=" }] }), "4 bytes a number"],
  ["another dimension", send(200, { data: [{ index: 0, embedding: [1, 2] }] }), "expected 3 numbers"],
  ["text for numbers", send(200, { data: [{ index: 0, embedding: ["a", "b", "c"] }] }), "finite numbers"],
] as const)(
  "an answer that cannot be read is refused and not asked for again: %s",
  async (_, answer, message) => {
    const { url, questions } = await serve(answer);
    await expect(embedderAt(url, { dimensions: 3 })(["a"])).rejects.toMatchObject({
      code: "protocol",
      message: expect.stringContaining(message) as string,
    });
    expect(questions).toHaveLength(1);
  },
);

test("one index for two texts is refused", async () => {
  const entry = { index: 0, embedding: [1, 2] };
  const { url } = await serve(send(200, { data: [entry, entry] }));
  await expect(embedderAt(url)(["a", "b"])).rejects.toThrow("each index once");
});

test("a refused key is an error at once, and in none of its words", async () => {
  const { url, questions } = await serve(send(401, { error: { message: `Incorrect API key: ${apiKey}` } }));
  const error: unknown = await embedderAt(url)(["a"]).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: "unauthorized" });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("secret");
  expect(questions).toHaveLength(1);
});

test.each([
  [400, "invalid_argument"],
  [403, "forbidden"],
  [404, "invalid_argument"],
  [413, "too_large"],
])("a %i is %s, with what the server says but for the key", async (status, code) => {
  const { url, questions } = await serve(send(status, { error: { message: `no such model for ${apiKey}` } }));
  const error: unknown = await embedderAt(`${url}/embeddings?key=hidden-one`)(["a"]).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code });
  if (status !== 403) expect(String(error)).toContain("no such model for …");
  expect(inspect(error, { depth: 9, showHidden: true })).not.toMatch(/secret|hidden-one/);
  expect(questions).toHaveLength(1);
});

/** Moves the clock on whenever a request was answered, until the call is done. */
async function finish<T>(call: Promise<T>, clock: TestClock): Promise<number> {
  const startMs = clock.now();
  let isDone = false;
  const done = call.then(
    () => (isDone = true),
    () => (isDone = true),
  );
  while (!isDone) {
    await clock.advance(10);
    await Promise.race([done, new Promise((resolve) => setImmediate(resolve))]);
  }
  return clock.now() - startMs;
}

test("a server that is busy or failing is asked again, not before it says", async () => {
  const { url, questions } = await serve(
    send(429, { error: "slow down" }, { "retry-after": "7" }),
    send(500, {}),
    send(503, {}),
    embeddings,
  );
  const clock = new TestClock();
  const call = embedderAt(url, { clock, random: () => 0, timeoutMs: 1e9 })(["a"]);
  const tookMs = await finish(call, clock);
  expect(await call).toEqual([floats("a")]);
  expect(questions).toHaveLength(4);
  expect(tookMs).toBeGreaterThanOrEqual(7_000);
});

test("a server that stays busy is given up, with its last answer", async () => {
  const { url, questions } = await serve(send(429, { error: { message: "quota" } }));
  const clock = new TestClock();
  const call = embedderAt(url, { clock, maxTries: 3, timeoutMs: 1e9 })(["a"]);
  const failing = expect(call).rejects.toMatchObject({
    code: "busy",
    message: expect.stringMatching(/429: quota/) as string,
  });
  await finish(call, clock);
  await failing;
  expect(questions).toHaveLength(3);
});

test("a server that asks for a long pause is given up at once", async () => {
  const { url, questions } = await serve(send(429, {}, { "retry-after": "86400" }));
  await expect(embedderAt(url)(["a"])).rejects.toMatchObject({ code: "busy" });
  expect(questions).toHaveLength(1);
});

test("a connection that is cut, before or within the answer, is tried again", async () => {
  const { url, questions } = await serve(
    (_, response) => void response.destroy(),
    (_, response) => {
      response.writeHead(200, { "content-length": "1000" });
      response.write('{"data": [');
      setImmediate(() => response.destroy());
    },
    embeddings,
  );
  const clock = new TestClock();
  const call = embedderAt(url, { clock, timeoutMs: 1e9 })(["a"]);
  await finish(call, clock);
  expect(await call).toEqual([floats("a")]);
  expect(questions).toHaveLength(3);
});

test("where nobody listens, the error says so without the key", async () => {
  const { url } = await serve(embeddings);
  for (const close of closing.splice(0)) await close();
  const error: unknown = await embedderAt(url, { maxTries: 1 })(["a"]).catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({
    code: "unreachable",
    message: expect.stringContaining("ECONNREFUSED") as string,
  });
  expect(inspect(error, { depth: 9, showHidden: true })).not.toContain("secret");
});

test("a server that does not answer in time is given up", async () => {
  const { url, questions } = await serve(() => undefined);
  const clock = new TestClock();
  const call = embedderAt(url, { clock, timeoutMs: 5_000, maxTries: 1 })(["a"]);
  const failing = expect(call).rejects.toMatchObject({ code: "timeout" });
  while (questions.length === 0) await clock.advance(0);
  await clock.advance(5_000);
  await failing;
  expect(questions).toHaveLength(1);
});

function withResolvers(): { promise: Promise<unknown>; resolve: (value: unknown) => void } {
  let resolve: (value: unknown) => void = () => undefined;
  const promise = new Promise((settle) => (resolve = settle));
  return { promise, resolve };
}

test("a call that is aborted ends its request", async () => {
  const cut = withResolvers();
  const asked = withResolvers();
  const { url } = await serve((_, response) => {
    response.on("close", () => cut.resolve(undefined));
    asked.resolve(undefined);
  });
  const controller = new AbortController();
  const call = embedderAt(url)(["a"], { signal: controller.signal });
  const reason = new Error("no longer needed");
  const failing = expect(call).rejects.toBe(reason);
  await asked.promise;
  controller.abort(reason);
  await failing;
  await cut.promise;
});

test("a key that no header can carry is refused without naming it", () => {
  for (const bad of ["two words secret", "secret\n", "", "sécret"]) {
    expect(() => embedderAt("http://127.0.0.1/", { apiKey: bad })).toThrow(
      /^createHttpEmbedder apiKey: expected printable/,
    );
  }
});

test.each(["", "localhost:1234", "ftp://host/", "http://user:secret@host/"])("no address: %j", (url) => {
  const error = (() => {
    try {
      return embedderAt(url);
    } catch (thrown) {
      return thrown;
    }
  })();
  expect(error).toMatchObject({ code: "invalid_argument" });
  expect(String(error)).not.toContain("secret");
});
