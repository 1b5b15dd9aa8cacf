/** One trace from who begins something to whoever ends it; the referee is OpenTelemetry's own SDK. */
import { context, SpanStatusCode, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
  type ReadableSpan,
} from "@opentelemetry/sdk-trace-base";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { openTelemetry } from "./otel.ts";
import { next, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench();
const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracer = provider.getTracer("test");
const tracing = openTelemetry(tracer);

beforeAll(() => void context.setGlobalContextManager(new AsyncLocalStorageContextManager().enable()));
beforeEach(() => exporter.reset());
afterAll(async () => {
  context.disable();
  await provider.shutdown();
});

/** Runs `run` under a span of the caller's own; resolves to its trace. */
async function inTrace(run: () => Promise<unknown>): Promise<string> {
  return await tracer.startActiveSpan("caller", async (span) => {
    await run();
    span.end();
    return span.spanContext().traceId;
  });
}

function ended(name: string): ReadableSpan {
  const span = exporter.getFinishedSpans().find((each) => each.name === name);
  if (span === undefined)
    throw new Error(
      `no span ${name} among ${exporter
        .getFinishedSpans()
        .map((each) => each.name)
        .join(", ")}`,
    );
  return span;
}

function expectUnder(name: string, above: string): void {
  expect(ended(name).parentSpanContext?.spanId, `${name} under ${above}`).toBe(
    ended(above).spanContext().spanId,
  );
}

test("one trace goes from a send through its handler to what the handler sends", async () => {
  const [a, b] = [await bench.open("a", { tracing }), await bench.open("b", { tracing })];
  b.on("message:question", async () => void (await b.sendMessage("a", "answer", 1)));
  const answered = next(a, "message:answer");
  const traceId = await inTrace(() => a.sendMessage("b", "question", 1, { waitFor: "handled" }));
  const { traceparent } = await answered;
  expectUnder("send question", "caller");
  expectUnder("handle question", "send question");
  expectUnder("send answer", "handle question");
  expect(ended("send answer").spanContext().traceId).toBe(traceId);
  expect(traceparent).toBe(`00-${traceId}-${ended("send answer").spanContext().spanId}-01`);
});

test("a broadcast over the socket carries its trace as well", async () => {
  const [a, b] = [await bench.open("a", { tracing }), await bench.open("b", { tracing })];
  const heard = next(b, "message:news");
  const traceId = await inTrace(() => a.broadcast("news", 1));
  expect((await heard).traceparent).toBe(`00-${traceId}-${ended("broadcast news").spanContext().spanId}-01`);
});

test("a request is a span around the question and its reply", async () => {
  const [a, b] = [await bench.open("a", { tracing }), await bench.open("b", { tracing })];
  let replied: Promise<unknown> | undefined;
  b.on("message:name", (message) => (replied = message.reply("b")));
  const traceId = await inTrace(() => a.request("b", "name", null));
  await replied; // the one that asked may have it before the one that answered knows that it is stored
  expectUnder("request name", "caller");
  expectUnder("send name", "request name");
  expect(ended("send reply").spanContext().traceId).toBe(traceId);
});

test("a handler that fails leaves its error in its span", async () => {
  const [a, b] = [await bench.open("a"), await bench.open("b", { tracing, maxDeliveries: 1 })];
  b.on("message:hard", () => Promise.reject(new Error("too hard")));
  b.on("error", () => {});
  await expect(a.sendMessage("b", "hard", 1, { waitFor: "handled" })).rejects.toMatchObject({
    code: "undelivered",
  });
  expect(ended("handle hard").status).toEqual({ code: SpanStatusCode.ERROR, message: "too hard" });
});

test("a task runs under its assignment, and may be assigned again under another trace", async () => {
  const [a, b] = [await bench.open("a", { tracing }), await bench.open("b", { tracing })];
  const stop = new AbortController();
  const completed = next(a, "message:task_complete");
  const task = { task_id: "t1", assigned_to: "b", description: "look" };
  await inTrace(() => a.assignTask(task));
  const again = await a.assignTask(task); // from outside any trace
  const working = b.work(() => ({ ok: true }), { signal: stop.signal });
  await completed;
  stop.abort();
  await working;
  expectUnder("assign task", "caller");
  expectUnder("work", "assign task");
  const { traceId, spanId } = ended("assign task").spanContext();
  expect(again["traceparent"]).toBe(`00-${traceId}-${spanId}-01`); // the first one's
  await expect(a.assignTask({ ...task, description: "other" })).rejects.toMatchObject({ code: "conflict" });
});

test("many tasks are assigned under one span", async () => {
  const a = await bench.open("a", { tracing });
  const given = `00-${"a".repeat(32)}-${"b".repeat(16)}-01`;
  const [first, second] = await a.assignTasks([
    { task_id: "m1", assigned_to: "b", description: "one" },
    { task_id: "m2", assigned_to: "b", description: "two", traceparent: given },
  ]);
  const { traceId, spanId } = ended("assign tasks").spanContext();
  expect(first?.["traceparent"]).toBe(`00-${traceId}-${spanId}-01`);
  expect(second?.["traceparent"]).toBe(given);
});

test("a trace context that was given goes before the one under way; one that is none is not followed", async () => {
  const a = await bench.open("a", { tracing });
  const given = `00-${"c".repeat(32)}-${"d".repeat(16)}-01`;
  const traceId = await inTrace(async () => {
    await a.sendMessage("b", "given", 1, { traceparent: given });
    await a.sendMessage("b", "broken", 1, { traceparent: "00-1" });
  });
  expect(ended("send given").parentSpanContext).toMatchObject({
    traceId: "c".repeat(32),
    spanId: "d".repeat(16),
    isRemote: true,
  });
  expect(ended("send broken").spanContext().traceId).toBe(traceId);
});

test("without an SDK nothing is recorded, and what was given travels unchanged", async () => {
  const silent = openTelemetry(trace.getTracer("nobody set one up"));
  const given = `00-${"e".repeat(32)}-${"f".repeat(16)}-01`;
  const a = await bench.open("a", { tracing: silent });
  expect((await a.sendMessage("b", "note", 1, { traceparent: given })).traceparent).toBe(given);
  expect((await a.sendMessage("b", "note", 2)).traceparent).toBeUndefined();
  expect(exporter.getFinishedSpans()).toEqual([]);
});
