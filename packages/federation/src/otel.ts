/** Spans of what a hub sends and handles, of tasks and of syncs: the sub-path `agent-federation/otel`. Needs `@opentelemetry/api`. */
import {
  context,
  isSpanContextValid,
  SpanKind,
  SpanStatusCode,
  trace,
  type Context,
  type Span,
  type Tracer,
} from "@opentelemetry/api";
import { toError } from "./runtime/errors.ts";
import { formatTraceparent, parseTraceparent } from "./runtime/traceparent.ts";
import type { SpanStart, Tracing } from "./runtime/tracing.ts";

export type { SpanStart, Tracing } from "./runtime/tracing.ts";

const kinds: Readonly<Record<SpanStart["kind"], SpanKind>> = {
  client: SpanKind.CLIENT,
  producer: SpanKind.PRODUCER,
  consumer: SpanKind.CONSUMER,
  internal: SpanKind.INTERNAL,
};

/**
 * For the option `tracing` of hubs and adapters. Where no SDK is set up, nothing is recorded, and a `traceparent` that was given travels
 * unchanged.
 */
export function openTelemetry(tracer: Tracer = trace.getTracer("agent-federation")): Tracing {
  return {
    async span(start, run, describe) {
      const above = contextAbove(start);
      const { name, kind, attributes } = start;
      const span = tracer.startSpan(name, { kind: kinds[kind], attributes: { ...attributes } }, above);
      try {
        const traceparent = traceparentOf(span) ?? start.parent ?? start.inherited;
        const value = await context.with(trace.setSpan(above, span), () => run(traceparent));
        if (describe !== undefined) span.setAttributes({ ...describe(value) });
        return value;
      } catch (thrown) {
        const error = toError(thrown);
        span.recordException(error);
        span.setStatus({ code: SpanStatusCode.ERROR, message: error.message });
        throw thrown;
      } finally {
        span.end();
      }
    },
  };
}

/** A `traceparent` that is none counts as not given. */
function contextAbove({ parent, inherited }: SpanStart): Context {
  const active = context.active();
  const text = parent ?? (trace.getSpan(active) === undefined ? inherited : undefined);
  const above = text === undefined ? undefined : parseTraceparent(text);
  if (above === undefined) return active;
  const { traceId, spanId, flags: traceFlags } = above;
  return trace.setSpanContext(active, { traceId, spanId, traceFlags, isRemote: true });
}

function traceparentOf(span: Span): string | undefined {
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags: flags } = spanContext;
  return formatTraceparent({ traceId, spanId, flags });
}
