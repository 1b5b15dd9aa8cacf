import { isRecord, numberField, stringField } from "../../runtime/json.ts";

/*  none ──first pull──▶ loading ──done──▶ live ──reset, other filter──▶ comparing ──done──▶ live
 *                       loading ──reset──▶ comparing ──reset──▶ comparing (from the start) */
/** Where pulling stands. It becomes durable together with the rows that led there. */
export type Position =
  /**
   * Everything for the first time: nobody is told of what was there at `sinceMs`, by the server's time. Goes on where it was after a
   * restart.
   */
  | {
      readonly phase: "loading";
      readonly cursor: string | undefined;
      readonly sinceMs: number | undefined;
      readonly filterKey: string;
    }
  /**
   * Everything again, since the cursor means nothing any more: begins anew after a restart. `sinceMs`: of the loading that it ended, or
   * when another filter took the place of the one before; nobody is told of what was there then and not here.
   */
  | { readonly phase: "comparing"; readonly filterKey: string; readonly sinceMs?: number | undefined }
  | { readonly phase: "live"; readonly cursor: string; readonly filterKey: string };

/** No answer of the server has led anywhere yet, so nothing would notice if the next came from another database. */
export function isAtStart(position: Position): boolean {
  return position.phase === "loading" && position.cursor === undefined;
}

export function encodePosition(position: Position): string {
  return JSON.stringify(position);
}

/** Undefined for what is no position: then everything is compared. */
export function decodePosition(text: string): Position | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (!isRecord(value)) return undefined;
  const cursor = stringField(value, "cursor");
  const filterKey = stringField(value, "filterKey") ?? "";
  switch (value["phase"]) {
    case "loading":
      return { phase: "loading", cursor, sinceMs: numberField(value, "sinceMs"), filterKey };
    case "comparing":
      return { phase: "comparing", filterKey, sinceMs: numberField(value, "sinceMs") };
    case "live":
      return cursor === undefined ? undefined : { phase: "live", cursor, filterKey };
    default:
      return undefined;
  }
}

/** Up to where listeners were told, and when the server said what was there. */
export interface Told {
  readonly cursor: string;
  readonly atMs: number;
}

export function encodeTold(told: Told): string {
  return JSON.stringify(told);
}

export function decodeTold(text: string | undefined): Told | undefined {
  if (text === undefined || text === "") return undefined;
  const value: unknown = JSON.parse(text);
  if (!isRecord(value)) return undefined;
  const cursor = stringField(value, "cursor");
  const atMs = numberField(value, "atMs");
  return cursor === undefined || atMs === undefined ? undefined : { cursor, atMs };
}

/**
 * Where a process begins: at what is durable, but not after `told`, so that listeners learn of what a process before this one took and
 * had no time to tell. With another filter than the last time, what was passed over may be wanted: everything is compared, and that it
 * comes now is no news.
 */
export function startingPosition(
  kept: string | undefined,
  told: Told | undefined,
  filterKey: string,
): Position {
  if (kept === undefined) return { phase: "loading", cursor: undefined, sinceMs: undefined, filterKey };
  const position = decodePosition(kept);
  if (position === undefined) return { phase: "comparing", filterKey };
  if (position.filterKey !== filterKey)
    return {
      phase: "comparing",
      filterKey,
      sinceMs: position.phase === "live" ? told?.atMs : position.sinceMs,
    };
  // Rows of a first page are here, and nothing says of which database: the next answer may be another's.
  if (position.phase === "loading" && position.cursor === undefined && position.sinceMs !== undefined)
    return { phase: "comparing", filterKey, sinceMs: position.sinceMs };
  if (position.phase === "live" && told !== undefined) return { ...position, cursor: told.cursor };
  return position;
}
