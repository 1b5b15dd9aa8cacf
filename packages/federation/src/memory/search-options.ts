import { requireId } from "../config/ids.ts";
import { FederationError } from "../runtime/errors.ts";
import { describe } from "../runtime/json.ts";
import type { SearchMode, SearchQuery } from "./backends/memory-backend.ts";
import {
  checkEmbedding,
  checkLimit,
  checkMetadata,
  checkText,
  checkTime,
  type CheckedVector,
  maxIdBytes,
} from "./check-memory.ts";
import type { MemoryFilter } from "./memory-row.ts";

/** What `search` takes. */
export interface SearchOptions {
  readonly tenant: string;
  /** Words to look for, and, with `embed`, what to compare by meaning. At most 64 KiB. */
  readonly text?: string | undefined;
  /** To compare by meaning. Default: the text's, where there is `embed`. */
  readonly embedding?: ArrayLike<number> | undefined;
  /** The model that made the embedding: only memories of the same model are compared. Default: `embed`'s, else those without one. */
  readonly embeddingModel?: string | undefined;
  /** Default: what text and embedding allow. */
  readonly mode?: SearchMode | undefined;
  /** Exact: the best of what it admits. */
  readonly filter?: MemoryFilter | undefined;
  /** Default 10, at most 10,000. */
  readonly limit?: number | undefined;
  /** From −1 to 1: nothing less similar is found by meaning. */
  readonly minSimilarity?: number | undefined;
  /** Where the hybrid backend does not hold all memories: `local` searches what it has and says so, `all` asks the server too. Default `local`. */
  readonly coverage?: "local" | "all" | undefined;
  /** Who is asking, where the credential leaves it open. Default: the filter's agent, else the adapter's. */
  readonly agent?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

export const mostFound = 10_000;
const maxTextBytes = 65_536;

/** A search, checked, before its text has become an embedding. */
export type CheckedSearch = Omit<SearchQuery, "embedding" | "model"> & {
  readonly embedding: CheckedVector | undefined;
  readonly model: string | undefined;
};

/** Throws FederationError "invalid_argument". Pure. */
export function checkSearch(options: SearchOptions, hasEmbed: boolean): CheckedSearch {
  const { text, embedding, embeddingModel, limit = 10, minSimilarity, coverage = "local", signal } = options;
  const words = text === undefined ? undefined : checkText(text, "search text", maxTextBytes, 1);
  const vector = embedding === undefined ? undefined : checkEmbedding(embedding, "search embedding");
  const canCompare = vector !== undefined || (words !== undefined && hasEmbed);
  const mode =
    options.mode ?? (canCompare && words !== undefined ? "both" : canCompare ? "meaning" : "words");
  if (mode !== "meaning" && mode !== "words" && mode !== "both")
    throw invalid("mode", "meaning, words or both", mode);
  if (mode !== "words" && !canCompare) {
    throw new FederationError("invalid_argument", `search by ${mode}: expected an embedding, got none`, {
      remedy: "Pass embedding, or give the adapter the option embed and the search a text",
    });
  }
  if (mode !== "meaning" && words === undefined) throw invalid("text", `a text to search by ${mode}`, words);
  if (minSimilarity !== undefined && !(minSimilarity >= -1 && minSimilarity <= 1))
    throw invalid("minSimilarity", "a number from -1 to 1", minSimilarity);
  if (coverage !== "local" && coverage !== "all") throw invalid("coverage", "local or all", coverage);
  return {
    mode,
    text: words,
    embedding: vector,
    model:
      embeddingModel === undefined
        ? undefined
        : checkText(embeddingModel, "search embeddingModel", maxIdBytes, 1),
    filter: checkFilter(options.filter ?? {}, "search filter"),
    limit: Math.min(checkLimit(limit, "search limit"), mostFound),
    minSimilarity,
    coverage,
    signal,
  };
}

/** What was given of it, checked. Throws FederationError "invalid_argument", for keys that are none of a filter's too. */
export function checkFilter(filter: MemoryFilter, what: string): MemoryFilter {
  const { agent, session, since, until, metadata, ...others } = filter;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) throw invalid(what, "agent, session, since, until or metadata", unknown);
  return {
    ...(agent === undefined ? {} : { agent: requireId(agent, `${what} agent`) }),
    ...(session === undefined ? {} : { session: checkText(session, `${what} session`, maxIdBytes, 1) }),
    ...(since === undefined ? {} : { since: checkTime(since, `${what} since`) }),
    ...(until === undefined ? {} : { until: checkTime(until, `${what} until`) }),
    ...(metadata === undefined ? {} : { metadata: checkMetadata(metadata, `${what} metadata`) }),
  };
}

function invalid(name: string, expected: string, found: unknown): FederationError {
  const what = name.includes(" ") ? name : `search ${name}`;
  return new FederationError("invalid_argument", `${what}: expected ${expected}, got ${describe(found)}`);
}
