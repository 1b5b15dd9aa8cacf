/** What a span says of itself. */
export interface SpanStart {
  /** Few different ones: what and of which type, never an id. */
  readonly name: string;
  /** As OpenTelemetry has them: a producer sends what a consumer handles, later. */
  readonly kind: "client" | "producer" | "consumer" | "internal";
  /** The `traceparent` of the span that it belongs under; goes before whatever is under way. */
  readonly parent?: string | undefined;
  /** The same, where nothing is under way. */
  readonly inherited?: string | undefined;
  readonly attributes: Readonly<Record<string, string | number | boolean>>;
}

/** Where spans go. `agent-federation/otel` has one for OpenTelemetry. */
export interface Tracing {
  /**
   * Calls `run` at once, as a span that ends when its promise does; a rejection is recorded, and passed on. `run` gets the `traceparent`
   * to send along; `describe` says of its value what the span should.
   */
  span<T>(
    start: SpanStart,
    run: (traceparent: string | undefined) => Promise<T>,
    describe?: (value: T) => SpanStart["attributes"],
  ): Promise<T>;
}

/** No spans; a trace context that was given travels all the same. */
export const noTracing: Tracing = {
  span: ({ parent, inherited }, run) => run(parent ?? inherited),
};
