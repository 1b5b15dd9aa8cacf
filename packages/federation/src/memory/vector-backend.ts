import { FederationError } from "../runtime/errors.ts";

/** Where vectors live and are searched. */
export type VectorBackend = "agentdb" | "pgvector" | "hybrid";

const backends: readonly string[] = ["agentdb", "pgvector", "hybrid"] satisfies VectorBackend[];

/** `pgvector` unless something else is asked for; the two that keep a local store are refused while this version has none. */
export function resolveVectorBackend(option: string | undefined, setting: string | undefined): "pgvector" {
  const [asked, from] =
    option === undefined ? [setting ?? "pgvector", "FEDERATION_VECTOR_BACKEND"] : [option, "vectorBackend"];
  if (asked === "pgvector") return asked;
  if (!backends.includes(asked)) {
    throw new FederationError(
      "invalid_argument",
      `${from}: expected agentdb, pgvector or hybrid, got ${JSON.stringify(asked)}`,
    );
  }
  throw new FederationError(
    "unsupported",
    `${from}: the backend ${asked} keeps a store on this machine, which this version has not`,
    {
      remedy: `Leave ${from} out or set it to pgvector: memories are then stored and searched in the database`,
    },
  );
}
