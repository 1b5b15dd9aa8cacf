import { FederationError } from "../runtime/errors.ts";

/** Where vectors live and are searched. */
export type VectorBackend = "agentdb" | "pgvector" | "hybrid";

const backends: readonly string[] = ["agentdb", "pgvector", "hybrid"] satisfies VectorBackend[];

/**
 * `pgvector` unless something else is asked for. Throws FederationError "invalid_argument" for what is no backend, and "unsupported"
 * in a browser for the two that keep a store on this machine.
 */
export function resolveVectorBackend(
  { option, setting }: { readonly option: string | undefined; readonly setting: string | undefined },
  inBrowser: boolean,
): VectorBackend {
  const [asked, from] =
    option === undefined ? [setting ?? "pgvector", "FEDERATION_VECTOR_BACKEND"] : [option, "vectorBackend"];
  if (!isBackend(asked)) {
    throw new FederationError(
      "invalid_argument",
      `${from}: expected agentdb, pgvector or hybrid, got ${JSON.stringify(asked)}`,
    );
  }
  if (asked === "pgvector" || !inBrowser) return asked;
  throw new FederationError(
    "unsupported",
    `${from}: the backend ${asked} keeps a store on the machine's disk, which a page has not`,
    {
      remedy: `Leave ${from} out or set it to pgvector: memories are then stored and searched in the database`,
    },
  );
}

function isBackend(name: string): name is VectorBackend {
  return backends.includes(name);
}
