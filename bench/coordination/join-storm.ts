import { provePresence } from "../presence/prove.ts";
import type { Row } from "./cases.ts";
import { rowOf, type Place } from "./place.ts";

/** A thousand agents that join at once, until each knows all; then changes, until all know each. */
export async function measureJoinStorm(place: Place, signal: AbortSignal): Promise<Row[]> {
  const agents = Math.round(1_000 * place.scale);
  const { joinStormMs, samplesMs, wrongLists } = await provePresence(place.supabase, {
    agents,
    processes: 3,
    changes: 6,
    everyMs: 1_000,
    signal,
    tell: () => {},
  });
  return [
    {
      name: `${agents.toLocaleString("en-US")} agents join at once`,
      count: agents,
      perSecond: Math.round((agents * 1000) / joinStormMs),
      note: `${(joinStormMs / 1000).toFixed(1)} s until each knows all; their processes run beside the server`,
    },
    rowOf(
      `a change among ${agents.toLocaleString("en-US")}: call to the last list that shows it`,
      samplesMs,
      {
        note: `${wrongLists} lists were wrong at the end`,
      },
    ),
  ];
}
