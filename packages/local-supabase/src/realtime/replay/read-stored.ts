import type { Database } from "../../database/database.ts";
import { storedMessage, type StoredMessage } from "../database-feed/announcement.ts";

export interface ReplayRequest {
  readonly subTopic: string;
  readonly sinceMs: number;
  readonly limit: number;
}

/** The newest `limit` private broadcasts of a topic since then, oldest first. */
export async function readStored(
  database: Database,
  { subTopic, sinceMs, limit }: ReplayRequest,
): Promise<readonly StoredMessage[]> {
  if (subTopic.includes("\0")) return []; // a text in Postgres has no NUL
  // Rows of one transaction have one time; where they lie tells them apart.
  const sql = `
    select id::text, topic, event, payload::text, encode(binary_payload, 'base64')
    from realtime.messages
    where private and extension = 'broadcast' and topic = $1 and event is not null
      and (payload is not null or binary_payload is not null)
      and (expires_at is null or expires_at > now())
      and inserted_at >= to_timestamp($2::double precision / 1000)::timestamp
    order by inserted_at desc, tableoid desc, ctid desc limit $3::int`;
  const { rows } = await database.query(sql, [subTopic, String(clampMs(sinceMs)), String(limit)]);
  return rows.toReversed().flatMap(([id, topic, event, payload, binaryPayload]) => {
    const row = { id, topic, event, isPrivate: true, payload: payload ?? undefined };
    return storedMessage({ ...row, binaryPayload: binaryPayload ?? undefined }) ?? [];
  });
}

/** What Postgres can hold: years 1 to 9999 are more than anybody asks for. */
function clampMs(ms: number): number {
  return Math.min(253_402_300_799_000, Math.max(-62_135_596_800_000, ms));
}
