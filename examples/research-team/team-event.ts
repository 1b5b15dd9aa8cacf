/** What happens in a team, told by the agent that sees it happen. Crosses process boundaries as plain data. */
export interface TeamEvent {
  readonly kind: TeamEventKind;
  readonly agent: string;
  /** What a person reads. */
  readonly text: string;
  /** The other agent, where there is one. */
  readonly peer?: string;
  /** The id of the task or memory that this is about. */
  readonly subject?: string;
}

export type TeamEventKind =
  | "joined" // the agent is in the tenant and usable
  | "met" // it sees `peer` in the tenant
  | "said" // it sent or broadcast a message
  | "heard" // it received a message of `peer`
  | "assigned" // it handed task `subject` to `peer`
  | "took" // it started on task `subject`, which `peer` gave it
  | "stored" // it put memory `subject` into the shared memory
  | "learned" // it was told of memory `subject`, stored by `peer`
  | "finished" // its task `subject` is complete
  | "confirmed" // it was told that `peer` completed task `subject`
  | "wrote" // it wrote the file `subject`
  | "left" // it left in good order
  | "failed"; // it gives up

/** Reads what came from another process; undefined for anything else. */
export function parseTeamEvent(value: unknown): TeamEvent | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { kind, agent, text, peer, subject } = value as Partial<Record<keyof TeamEvent, unknown>>; // each field is checked below
  if (typeof kind !== "string" || typeof agent !== "string" || typeof text !== "string" || !isKind(kind))
    return undefined;
  return {
    kind,
    agent,
    text,
    ...(typeof peer === "string" ? { peer } : {}),
    ...(typeof subject === "string" ? { subject } : {}),
  };
}

const kinds: ReadonlySet<string> = new Set<TeamEventKind>([
  "joined",
  "met",
  "said",
  "heard",
  "assigned",
  "took",
  "stored",
  "learned",
  "finished",
  "confirmed",
  "wrote",
  "left",
  "failed",
]);

function isKind(value: string): value is TeamEventKind {
  return kinds.has(value);
}
