import { readFileSync } from "node:fs";
import { canonicalFrame, frameOf, isSubset, type CanonicalFrame, type TranscriptLine } from "./transcript.ts";

/**
 * One deliberate difference, as DEVIATIONS.md states it in a block of JSON. `recorded` picks frames (sent or received) and
 * other lines by what they contain; a scenario or connection may end in `*`. `ours` is merged into what was recorded (null
 * removes a member) or is `"nothing"`; `then` is a frame that comes after it; `skip` takes a connection out of the replay.
 * `mayAlso` is a frame that may come or not, where the recording caught one side of a race.
 */
export interface Deviation {
  readonly id: string;
  readonly scenarios: readonly string[];
  readonly conn?: string;
  readonly recorded?: CanonicalFrame;
  readonly ours?: "nothing" | CanonicalFrame;
  readonly then?: CanonicalFrame;
  /** Who gets it; default whom the line concerns. */
  readonly thenConn?: string;
  readonly skip?: true;
  readonly mayAlso?: CanonicalFrame;
}

export function readDeviations(file: URL): readonly Deviation[] {
  const text = readFileSync(file, "utf8");
  return Array.from(
    text.matchAll(/```json\n([\s\S]*?)```/g),
    (match) => JSON.parse(match[1] ?? "") as Deviation,
  ); // checked by use
}

/** What a line becomes on our server: the lines to expect (or to do) instead. Says which deviations were used. */
export function deviate(
  scenario: string,
  line: TranscriptLine,
  deviations: readonly Deviation[],
  use: (id: string) => void,
): readonly TranscriptLine[] {
  let lines: readonly TranscriptLine[] = [line];
  for (const deviation of deviations) {
    if (deviation.mayAlso !== undefined || !concerns(deviation, scenario, line.conn ?? "")) continue;
    lines = lines.flatMap((one) => applyTo(one, deviation, use));
  }
  return lines;
}

/** Whether a frame that was not recorded is one that may come. */
export function isAllowed(
  scenario: string,
  conn: string,
  frame: CanonicalFrame,
  deviations: readonly Deviation[],
  use: (id: string) => void,
): boolean {
  const allowed = deviations.filter(
    (deviation) =>
      deviation.mayAlso !== undefined &&
      concerns(deviation, scenario, conn) &&
      isSubset(deviation.mayAlso, frame),
  );
  for (const { id } of allowed) use(id);
  return allowed.length > 0;
}

function concerns({ scenarios, conn }: Deviation, scenario: string, name: string): boolean {
  return (
    scenarios.some((pattern) => isMatch(pattern, scenario)) && (conn === undefined || isMatch(conn, name))
  );
}

function applyTo(
  line: TranscriptLine,
  deviation: Deviation,
  use: (id: string) => void,
): readonly TranscriptLine[] {
  const { id, recorded = {}, ours, then, thenConn = line.conn ?? "", skip } = deviation;
  if (!isSubset(recorded, contentOf(line))) return [line];
  use(id);
  if (skip === true || ours === "nothing") return [];
  const replaced = ours === undefined ? line : replace(line, ours);
  return then === undefined
    ? [replaced]
    : [replaced, { ms: line.ms, dir: "recv", conn: thenConn, canonical: then }];
}

/** The frame that a line stands for; lines without a frame stand for themselves. */
export function contentOf(line: TranscriptLine): CanonicalFrame {
  if (line.dir !== "recv" && line.dir !== "send") return line;
  const { canonical } = line;
  return typeof canonical === "object" && canonical !== null
    ? { ...canonical }
    : canonicalFrame(frameOf(line));
}

function replace(line: TranscriptLine, ours: CanonicalFrame): TranscriptLine {
  if (line.dir === "recv") return { ...line, canonical: merge(contentOf(line), ours) };
  if (line.dir !== "send") return { ...line, ...ours };
  const { joinRef, ref, topic, event, payload, ...rest } = merge(contentOf(line), ours);
  const isArray = String(line["frame"]).startsWith("[");
  const frame = isArray ? [joinRef, ref, topic, event, payload] : { ref, topic, event, payload, ...rest };
  return { ...line, frame: JSON.stringify(frame) };
}

/** RFC 7396, JSON Merge Patch. */
function merge(into: CanonicalFrame, patch: CanonicalFrame): CanonicalFrame {
  const merged: Record<string, unknown> = { ...into };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else if (isRecord(value)) merged[key] = merge(isRecord(merged[key]) ? merged[key] : {}, value);
    else merged[key] = value;
  }
  return merged;
}

function isRecord(value: unknown): value is CanonicalFrame {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isMatch(pattern: string, text: string): boolean {
  return pattern.endsWith("*") ? text.startsWith(pattern.slice(0, -1)) : text === pattern;
}
