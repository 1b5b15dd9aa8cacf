import { DatabaseError, type Database } from "../../database/database.ts";
import type { Broadcast } from "../codec/message.ts";
import type { RealtimeParts } from "../realtime.ts";
import type { Persist } from "./persist.ts";

/** A broadcast of a client that is to be kept, with an event and a payload. */
export interface MessageToStore {
  readonly id: string;
  readonly subTopic: string;
  readonly broadcast: Exclude<Broadcast, { form: "text" }>;
  readonly persist: Persist;
}

/** Why a message was not stored, in the words of the protocol. */
export type StoreProblem =
  | "query_canceled"
  | "missing_partition"
  | "invalid_payload"
  | "unable_to_connect_to_project";

/** Keeps a private broadcast for replay. Who may do so was asked before; nobody is told of the row. Never rejects. */
export async function storeMessage(
  database: Database,
  { id, subTopic, broadcast, persist }: MessageToStore,
  log: RealtimeParts["log"],
): Promise<StoreProblem | undefined> {
  const { form, event, payload } = broadcast;
  if (subTopic.includes("\0") || event.includes("\0")) return "invalid_payload"; // a text in Postgres has no NUL
  const sql = `
    insert into realtime.messages (id, topic, extension, event, private, payload, binary_payload, skip_broadcast, expires_at)
    values ($1::uuid, $2, 'broadcast', $3, true, $4::jsonb, decode($5, 'base64'), true,
      now() + make_interval(secs => $6::double precision))`;
  const json = form === "json" ? payload.toString("utf8") : null;
  const base64 = form === "bytes" ? payload.toString("base64") : null;
  const ttl = persist.ttlSeconds === undefined ? null : String(persist.ttlSeconds);
  try {
    await database.query(sql, [id, subTopic, event, json, base64, ttl]);
    return undefined;
  } catch (error) {
    const problem = error instanceof DatabaseError ? problemOf(error.code) : "unable_to_connect_to_project";
    if (problem !== "invalid_payload")
      log("error", "realtime: a message was not stored and not sent", { problem, reason: String(error) });
    return problem;
  }
}

function problemOf(code: string): StoreProblem {
  if (code === "57014") return "query_canceled";
  if (code === "23514") return "missing_partition"; // check_violation: no partition takes the row
  // What is JSON and no jsonb: a NUL in a text, a number out of range; and what nests too deep.
  return code.startsWith("22") || code === "54001" ? "invalid_payload" : "unable_to_connect_to_project";
}
