import type { Database } from "../../database/database.ts";
import type { RealtimeClock, RealtimeParts } from "../realtime.ts";
import { parseAnnouncement, storedMessage, type StoredMessage } from "./announcement.ts";

export interface DatabaseFeedParts {
  readonly database: Database;
  readonly clock: RealtimeClock;
  readonly log: RealtimeParts["log"];
  readonly deliver: (message: StoredMessage) => void;
}

const CHANNEL = "supabase_realtime_messages";
/** Partitions are made three days ahead. */
const PARTITIONS_EVERY_MS = 6 * 3_600_000;

/**
 * Delivers the committed rows of `realtime.messages` in commit order: a row too large to be announced is read, and what
 * was announced behind it waits. Resolves when it listens, to the function that stops it.
 */
export async function startDatabaseFeed({
  database,
  clock,
  log,
  deliver,
}: DatabaseFeedParts): Promise<() => Promise<void>> {
  let isStopped = false;
  /** Announcements behind a row that is being read. */
  const waiting: string[] = [];
  let reading: Promise<void> | undefined;

  function take(text: string): Promise<void> | undefined {
    const announcement = parseAnnouncement(text);
    if (announcement?.kind === "reference") return read(announcement.id, announcement.insertedAt);
    if (announcement === undefined) log("debug", "realtime: a row that reaches nobody was announced");
    else deliver(announcement.message);
    return undefined;
  }

  async function read(id: string, insertedAt: string): Promise<void> {
    try {
      const message = await readMessage(database, id, insertedAt);
      if (message !== undefined && !isStopped) deliver(message);
    } catch (error) {
      log("error", "realtime: a large message could not be read and was not delivered", {
        id,
        reason: String(error),
      });
    }
  }

  async function catchUp(first: Promise<void>): Promise<void> {
    await first;
    for (let text = waiting.shift(); text !== undefined && !isStopped; text = waiting.shift())
      await take(text);
    reading = undefined;
  }

  const stopListening = await database.listen(CHANNEL, (text) => {
    if (isStopped) return;
    if (reading !== undefined) return void waiting.push(text);
    const pending = take(text);
    if (pending !== undefined) reading = catchUp(pending);
  });

  let cancel = (): void => {};
  const keepPartitions = (): void => {
    cancel = clock.after(PARTITIONS_EVERY_MS, () => {
      database.query("select realtime.keep_partitions()").catch((error: unknown) => {
        log("error", "realtime: the partitions of the next days could not be made", {
          reason: String(error),
        });
      });
      keepPartitions();
    });
  };
  keepPartitions();

  return async () => {
    isStopped = true;
    cancel();
    await reading;
    await stopListening();
  };
}

async function readMessage(
  database: Database,
  id: string,
  insertedAt: string,
): Promise<StoredMessage | undefined> {
  const sql = `
    select id::text, topic, event, private::text, payload::text, encode(binary_payload, 'base64')
    from realtime.messages where id = $1::uuid and inserted_at = $2::timestamp`;
  const { rows } = await database.query(sql, [id, insertedAt]);
  const row = rows[0];
  if (row === undefined) return undefined;
  const [rowId, topic, event, isPrivate, payload, binaryPayload] = row;
  return storedMessage({
    id: rowId,
    topic,
    event,
    isPrivate: isPrivate === null ? undefined : isPrivate === "true",
    payload: payload ?? undefined,
    binaryPayload: binaryPayload ?? undefined,
  });
}
