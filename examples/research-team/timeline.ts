import type { TeamEvent, TeamEventKind } from "./team-event.ts";

export interface TimelineOptions {
  /** Whether to colour; see `wantsColour`. */
  readonly colour: boolean;
  /** Milliseconds since 1970 at which the timeline starts. */
  readonly startedAtMs: number;
}

/** A stream of lines, one per event, runs of alike memories drawn together. */
export interface Timeline {
  /** The lines that can be printed now. */
  add(event: TeamEvent, atMs: number): string[];
  /** What was held back. */
  flush(): string[];
}

/** Colour is for people: not into files and pipes, and not where NO_COLOR is set. */
export function wantsColour(
  stream: { readonly isTTY?: boolean },
  environment: Readonly<Record<string, string | undefined>>,
): boolean {
  return stream.isTTY === true && (environment["NO_COLOR"] ?? "") === "" && environment["TERM"] !== "dumb";
}

/** Memories come by the dozen: an agent's are counted until it does something else, those it learns of likewise. */
export function openTimeline({ colour, startedAtMs }: TimelineOptions): Timeline {
  const palette = [...palettes];
  const colours = new Map<string, string>();
  const held = new Map<string, { first: TeamEvent; atMs: number; count: number }>();

  const paint = (text: string, code: string): string => (colour ? `\u001b[${code}m${text}\u001b[0m` : text);
  const nameColour = (agent: string): string => {
    const own = colours.get(agent) ?? palette.shift() ?? "37";
    colours.set(agent, own);
    return own;
  };
  const line = ({ kind, agent, text }: TeamEvent, atMs: number): string => {
    const seconds = ((atMs - startedAtMs) / 1000).toFixed(2).padStart(7);
    const own = nameColour(agent);
    const body =
      kind === "failed"
        ? paint(text, "31")
        : kind === "finished" || kind === "wrote"
          ? paint(text, "1")
          : text;
    return `${paint(`${seconds} s`, "2")}  ${paint(marks[kind], own)} ${paint(agent.padEnd(15), own)} ${body}`;
  };
  const release = (key: string, atMs: number): string[] => {
    const run = held.get(key);
    if (run === undefined) return [];
    held.delete(key);
    const { first, count } = run;
    if (count === 1) return [line(first, atMs)];
    const what =
      first.kind === "stored"
        ? `stores ${count} memories`
        : `learns of ${count} memories of ${first.peer ?? "others"}`;
    return [line({ ...first, text: `${what}, first ${quoted(first)}` }, atMs)];
  };

  return {
    add(event, atMs) {
      if (event.kind === "stored" || event.kind === "learned") {
        const key = keyOf(event);
        const run = held.get(key);
        if (run === undefined) held.set(key, { first: event, atMs, count: 1 });
        else Object.assign(run, { atMs, count: run.count + 1 });
        return [];
      }
      const own = [...held.keys()].filter((key) => key.startsWith(`${event.agent} `));
      return [...own.flatMap((key) => release(key, atMs)), line(event, atMs)];
    },
    flush: () => [...held].flatMap(([key, { atMs }]) => release(key, atMs)),
  };
}

const keyOf = ({ agent, kind, peer = "" }: TeamEvent): string => `${agent} ${kind} ${peer}`;

const quoted = ({ subject = "", text }: TeamEvent): string => (subject === "" ? text : subject);

const palettes: readonly string[] = ["36", "35", "33", "32", "34", "31"];

const marks: Readonly<Record<TeamEventKind, string>> = {
  joined: "+",
  met: "o",
  said: ">",
  heard: "<",
  assigned: "»",
  took: "·",
  stored: "#",
  learned: "<",
  finished: "✓",
  confirmed: "✓",
  wrote: "=",
  left: "-",
  failed: "✗",
};
