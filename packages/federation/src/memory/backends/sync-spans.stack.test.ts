/** Rounds of the sync as spans; the referee is OpenTelemetry's own SDK. */
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from "@opentelemetry/sdk-trace-base";
import { SpanStatusCode } from "@opentelemetry/api";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { openTelemetry } from "../../otel.ts";
import { freshTenant } from "../testing/start-stack.node.ts";
import { BackendFixture, memoryOf } from "./testing/backend-fixture.node.ts";

const exporter = new InMemorySpanExporter();
const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });
const tracing = openTelemetry(provider.getTracer("test"));
let fixture: BackendFixture;

beforeAll(async () => {
  fixture = await BackendFixture.start();
});
afterEach(() => fixture.afterEach());
afterAll(async () => {
  await fixture?.stack.close();
  await provider.shutdown();
});

test("rounds of the sync are spans that say how much they brought, and what stopped them", async () => {
  const tenant = freshTenant();
  const writer = await fixture.open("pgvector");
  await writer.storeMemory(memoryOf(tenant, { id: "theirs" }));
  let isDown = false;
  const hybrid = await fixture.open("hybrid", {
    tracing,
    fetch: (...args) => (isDown ? Promise.reject(new TypeError("no network")) : fetch(...args)),
  });
  await hybrid.storeMemory(memoryOf(tenant, { id: "ours" }));
  await hybrid.sync({ tenant });
  const attributes = exporter.getFinishedSpans().map(({ name, attributes: said }) => ({ name, ...said }));
  expect(attributes).toContainEqual({ name: "sync push", "memory.pushed": 1, "memory.refused": 0 });
  expect(attributes).toContainEqual(expect.objectContaining({ name: "sync pull" }));
  const pulled = attributes.map((each) =>
    Number((each as { "memory.pulled"?: number })["memory.pulled"] ?? 0),
  );
  expect(pulled.reduce((sum, each) => sum + each)).toBeGreaterThan(0);
  exporter.reset();
  isDown = true;
  await expect(hybrid.sync({ tenant })).rejects.toMatchObject({ code: "unreachable" });
  expect(exporter.getFinishedSpans().map(({ status }) => status.code)).toContain(SpanStatusCode.ERROR);
});
