import fc from "fast-check";

/** How many agents a history has; each has its own way to the server. */
export const agentCount = 3;

export const weathers = ["cut", "refuse", "hold", "swallow", "half-open", "delay", "restore"] as const;
export type Weather = (typeof weathers)[number];

/** What may happen, one after the other; nothing waits for what a step began, but `breathe`. */
export type Step =
  | { readonly type: "send"; readonly from: number; readonly to: number }
  | { readonly type: "broadcast"; readonly from: number }
  | { readonly type: "assign"; readonly from: number; readonly to: number | undefined }
  | { readonly type: "network"; readonly agent: number; readonly weather: Weather }
  | { readonly type: "restart agent"; readonly agent: number; readonly how: "shutdown" | "crash" }
  | { readonly type: "restart server" }
  /** Until one of the calls that are under way has ended. */
  | { readonly type: "breathe" };

export interface HistoryKinds {
  readonly tasks: boolean;
  readonly serverRestarts: boolean;
  readonly maxSteps: number;
}

/** Random histories. Traffic is likelier than trouble, so that trouble finds something to break. */
export function histories({ tasks, serverRestarts, maxSteps }: HistoryKinds): fc.Arbitrary<readonly Step[]> {
  const agent = fc.nat(agentCount - 1);
  const other = fc.tuple(agent, fc.integer({ min: 1, max: agentCount - 1 }));
  const weighted: { weight: number; arbitrary: fc.Arbitrary<Step> }[] = [
    {
      weight: 8,
      arbitrary: other.map(([from, by]) => ({ type: "send", from, to: (from + by) % agentCount })),
    },
    { weight: 3, arbitrary: agent.map((from) => ({ type: "broadcast", from })) },
    { weight: 3, arbitrary: fc.constant({ type: "breathe" }) },
    {
      weight: 4,
      arbitrary: fc
        .record({ agent, weather: fc.constantFrom(...weathers) })
        .map((at) => ({ type: "network", ...at })),
    },
    {
      weight: 1,
      arbitrary: fc
        .record({ agent, how: fc.constantFrom("shutdown" as const, "crash" as const) })
        .map((at) => ({ type: "restart agent", ...at })),
    },
    {
      weight: tasks ? 3 : 0,
      arbitrary: fc
        .record({ from: agent, to: fc.option(agent, { nil: undefined }) })
        .map((at) => ({ type: "assign", ...at })),
    },
    { weight: serverRestarts ? 1 : 0, arbitrary: fc.constant({ type: "restart server" }) },
  ];
  return fc.array(fc.oneof(...weighted.filter(({ weight }) => weight > 0)), {
    minLength: 5,
    maxLength: maxSteps,
    size: "max",
  });
}
