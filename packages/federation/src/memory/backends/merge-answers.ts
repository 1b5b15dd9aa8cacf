import type { FoundMemory } from "../memory.ts";
import type { MemoryRow } from "../memory-row.ts";
import { fuseRanks } from "./fusion.ts";
import type { SearchQuery } from "./memory-backend.ts";

export interface AnswerHere {
  readonly matches: readonly FoundMemory[];
  /** Whatever this machine holds under an id. */
  readonly find: (id: string) => MemoryRow | undefined;
}

/**
 * One list of what was found here and on the server. A memory of which this machine knows a later version, or that it is gone, is as it
 * is here. Similarities compare; how well words match is said in other units here and there, so there the places are merged. Pure.
 */
export function mergeAnswers(
  here: AnswerHere,
  remote: readonly FoundMemory[],
  { mode, limit }: Pick<SearchQuery, "mode" | "limit">,
): FoundMemory[] {
  const found = new Map(here.matches.map((match) => [match.id, match]));
  const there = remote.filter((match) => {
    const row = here.find(match.id);
    return found.has(match.id) || row === undefined || row.version <= match.version;
  });
  const all = new Map([...there.map((match) => [match.id, match] as const), ...found]);
  if (mode === "meaning") return [...all.values()].toSorted((a, b) => b.score - a.score).slice(0, limit);
  const fused = fuseRanks([there.map(({ id }) => id), here.matches.map(({ id }) => id)]);
  return fused.slice(0, limit).flatMap(({ key, score }) => {
    const match = all.get(key);
    return match === undefined ? [] : [{ ...match, score }];
  });
}
