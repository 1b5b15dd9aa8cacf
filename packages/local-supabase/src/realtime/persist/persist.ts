import { isObject } from "../codec/message.ts";

/** A broadcast is to be kept for replay: for so long, or as long as messages are kept. */
export interface Persist {
  readonly ttlSeconds: number | undefined;
}

/** As long as messages are kept at all: three days. */
const MAX_TTL_SECONDS = 259_200;

export const INVALID_TTL = "invalid_persist_ttl";

/** What the metadata of a binary push asks for: `{"persist":true}` or `{"persist":{"ttl":<seconds>}}`. */
export function persistOfMeta(metaJson: string): Persist | typeof INVALID_TTL | undefined {
  if (metaJson === "") return undefined;
  let meta: unknown;
  try {
    meta = JSON.parse(metaJson);
  } catch {
    return undefined; // metadata that is no JSON asks for nothing
  }
  const persist = isObject(meta) ? meta["persist"] : undefined;
  if (persist == null || persist === false) return undefined;
  if (persist === true) return { ttlSeconds: undefined };
  return isObject(persist) ? withTtl(persist["ttl"]) : INVALID_TTL;
}

/** What the query of a single REST broadcast asks for: `persist=true` or `persist[ttl]=<seconds>`. */
export function persistOfQuery(query: URLSearchParams): Persist | typeof INVALID_TTL | undefined {
  const ttl = query.get("persist[ttl]");
  if (ttl !== null) return /^\d{1,9}$/.test(ttl) ? withTtl(Number(ttl)) : INVALID_TTL;
  return query.get("persist") === "true" ? { ttlSeconds: undefined } : undefined;
}

function withTtl(ttl: unknown): Persist | typeof INVALID_TTL {
  if (ttl === undefined) return { ttlSeconds: undefined };
  const isValid = typeof ttl === "number" && Number.isInteger(ttl) && ttl >= 1 && ttl <= MAX_TTL_SECONDS;
  return isValid ? { ttlSeconds: ttl } : INVALID_TTL;
}
