import { createHash } from "node:crypto";
import type { PostgresChangesEntry } from "./join-parameters.ts";

/** Equal entries have equal ids everywhere; never 0, which the client takes for none. */
export function postgresChangesId(entry: PostgresChangesEntry): number {
  const facts = ["event", "schema", "table", "filter", "select"].map((name) => entry[name] ?? null);
  const digest = createHash("sha1").update(JSON.stringify(facts)).digest();
  return digest.readUInt32BE(0) & 0x7ff_ffff || 1;
}
