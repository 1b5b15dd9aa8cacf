import type { Credential } from "../../keys/credential.ts";

/** May a role do something on a topic? `failed` is a policy that raised, or a database that did not answer. */
export type Verdict = "allowed" | "denied" | "failed";

export interface ReadRights {
  readonly broadcast: boolean;
  readonly presence: boolean;
}

/** Who asks, and about what; everything that a policy on `realtime.messages` can look at. */
export interface Asker {
  readonly subTopic: string;
  readonly credential: Credential;
  /** What `request.headers` holds for the policies. */
  readonly headers: Readonly<Record<string, string>>;
}

/** Row level security on `realtime.messages`, asked and never written to. */
export interface Authorization {
  /** Undefined when the database could not say. A policy that raises is "no". */
  mayRead(asker: Asker): Promise<ReadRights | undefined>;
  mayWrite(asker: Asker, extension: WriteRight): Promise<Verdict>;
}

/** `persistence` is the right to have a broadcast kept; who has it needs that to broadcast as well. */
export type WriteRight = "broadcast" | "presence" | "persistence";
