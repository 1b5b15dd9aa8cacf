import type { Summary } from "../harness/statistics.ts";

export type Engine = "PGlite" | "native Postgres";

/** A group of figures that one server is started for. */
export interface CoordinationCase {
  readonly engine: Engine;
  readonly group: Group;
  /** Of the full time. */
  readonly scale: number;
}

const groups = ["messages", "presence", "tasks", "tasks beside many", "peers", "join storm"] as const;
export type Group = (typeof groups)[number];

/** One line of the table. */
export interface Row {
  readonly name: string;
  readonly count: number;
  readonly perSecond?: number;
  readonly summary?: Summary;
  readonly samplesMs?: readonly number[];
  readonly note?: string;
}

export interface CoordinationResult extends Row {
  readonly engine: Engine;
  readonly group: Group;
}

export function nameOf({ group, engine }: Pick<CoordinationCase, "group" | "engine">): string {
  return `${group}, ${engine}`;
}

/** Peers need a native Postgres; a thousand agents take long, and where both engines are asked join the embedded one only. A rehearsal takes a tenth of the time and is not worth quoting. */
export function coordinationCases(engines: readonly Engine[], isRehearsal: boolean): CoordinationCase[] {
  const scale = isRehearsal ? 0.1 : 1;
  return engines.flatMap((engine) =>
    groups
      .filter((group) => group !== "peers" || engine === "native Postgres")
      .filter((group) => group !== "join storm" || engine === engines[0])
      .map((group) => ({ engine, group, scale })),
  );
}
