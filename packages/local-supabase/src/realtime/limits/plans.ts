/** The figures of one project. What is left out of an object is not limited. */
export interface LimitFigures {
  /** Sockets that joined something. */
  readonly connections?: number;
  /** Each send and each delivery is one; the mean over ticks of 5 s. */
  readonly messagesPerSecond?: number;
  readonly joinsPerSecond?: number;
  readonly channelsPerConnection?: number;
  /** States, tracks and diffs, each delivery one. */
  readonly presenceEventsPerSecond?: number;
  /** Largest broadcast or presence payload, in units of 1,000 bytes. */
  readonly payloadKilobytes?: number;
  /** Largest frame that a client may send. */
  readonly frameBytes?: number;
}

export type LimitsOption = "off" | PlanName | LimitFigures;
export type PlanName = "free" | "pro" | "team";

/** What hosted plans document (supabase.com, "Realtime Limits"). */
export const plans: Readonly<Record<PlanName, LimitFigures>> = {
  free: {
    connections: 200,
    messagesPerSecond: 100,
    joinsPerSecond: 100,
    channelsPerConnection: 100,
    presenceEventsPerSecond: 20,
    payloadKilobytes: 256,
  },
  pro: {
    connections: 500,
    messagesPerSecond: 500,
    joinsPerSecond: 500,
    channelsPerConnection: 100,
    presenceEventsPerSecond: 50,
    payloadKilobytes: 3000,
  },
  team: {
    connections: 10_000,
    messagesPerSecond: 2500,
    joinsPerSecond: 2500,
    channelsPerConnection: 100,
    presenceEventsPerSecond: 1000,
    payloadKilobytes: 3000,
  },
};

const figureNames = [
  "connections",
  "messagesPerSecond",
  "joinsPerSecond",
  "channelsPerConnection",
  "presenceEventsPerSecond",
  "payloadKilobytes",
  "frameBytes",
] as const satisfies readonly (keyof LimitFigures)[];

/** The figures that are meant, undefined for none; or what is wrong, to be shown behind "limits: ". */
export function readLimits(
  option: LimitsOption,
): { readonly figures: LimitFigures | undefined } | { readonly problem: string } {
  if (option === "off") return { figures: undefined };
  if (typeof option === "string") {
    return Object.hasOwn(plans, option)
      ? { figures: plans[option] }
      : { problem: `expected off, free, pro, team or an object, got "${String(option)}"` };
  }
  const unknown = Object.keys(option).find((name) => !figureNames.some((known) => known === name));
  if (unknown !== undefined) return { problem: `expected ${figureNames.join(", ")}, got "${unknown}"` };
  for (const name of figureNames) {
    const figure = option[name];
    if (figure !== undefined && (!Number.isInteger(figure) || figure < 1))
      return { problem: `expected ${name} to be a whole number from 1, got ${String(figure)}` };
  }
  return { figures: { ...option } };
}
