import { randomUUID } from "node:crypto";
import type { ReadRights } from "../authorization/authorization.ts";
import type { Credential } from "../../keys/credential.ts";
import type { Scalar } from "../codec/message.ts";
import type { StoredMessage } from "../database-feed/announcement.ts";
import type { PreparedRows } from "../postgres-changes/row-changes.ts";
import type { ServerParts } from "../server-parts.ts";
import { Channel, mayJoin, type ChannelSocket } from "./channel.ts";
import { parseJoin, type JoinParameters } from "./join-parameters.ts";
import { postgresChangesId } from "./postgres-changes-id.ts";
import { joinProblem, joinReasons, systemTexts } from "./texts.ts";

export interface JoinRequest {
  readonly topic: string;
  readonly joinRef: Scalar;
  readonly payload: unknown;
  /** The key of the socket, which speaks where the join brings no token. */
  readonly socketToken: string;
  /** How many channels the socket has besides this one. */
  readonly otherChannels: number;
}

/** `enter` makes the channel; it is the caller's to decide whether the socket still wants it. */
export type JoinOutcome =
  | { readonly refusal: string; readonly endsSocket?: boolean }
  | {
      readonly responseJson: string;
      readonly enter: () => Channel;
      readonly parameters: JoinParameters;
      /** Where a replay was asked for: what to replay, read once the channel is in its room. */
      readonly readReplay: (() => Promise<readonly StoredMessage[] | undefined>) | undefined;
      /** Rows that the join waited for. Released by the channel, or by the caller where it does not enter. */
      readonly rows: PreparedRows | undefined;
    };

export const TOPIC_PREFIX = "realtime:";

/** The checks of a join, in the order in which the first that fails answers. Never rejects. */
export async function checkJoin(
  request: JoinRequest,
  socket: ChannelSocket,
  server: ServerParts,
): Promise<JoinOutcome> {
  const { topic, joinRef } = request;
  const subTopic = topic.slice(TOPIC_PREFIX.length);
  if (subTopic === "") return { refusal: joinReasons.topicNameRequired };
  const parsed = parseJoin(subTopic, request.payload);
  if ("refusal" in parsed) return parsed;
  const { parameters } = parsed;
  if (server.settings.isPrivateOnly && !parameters.isPrivate) return { refusal: joinReasons.privateOnly };
  const limited = server.limits?.refuseJoin(socket, request.otherChannels);
  if (limited !== undefined) return { refusal: limited.reason, endsSocket: limited.endsSocket };

  const token = parameters.token ?? request.socketToken;
  const verified = await server.keyring.verify(token);
  if ("problem" in verified) return { refusal: joinProblem(verified.problem) };
  const { credential } = verified;

  let rights: ReadRights | undefined = { broadcast: true, presence: true };
  if (parameters.isPrivate) {
    rights = await server.authorization.mayRead({ subTopic, credential, headers: socket.headers });
    if (rights === undefined) return { refusal: joinReasons.policiesUnreadable };
    const wantsPresence = parameters.presence.enabled || server.settings.hasPresenceAlways;
    if (!mayJoin(rights, wantsPresence)) return { refusal: joinReasons.unauthorized(subTopic) };
  }
  const replayRefusal = refuseReplay(parameters);
  if (replayRefusal !== undefined) return { refusal: replayRefusal };

  const { replay } = parameters;
  const rows = await waitForRows(parameters, credential, server);
  if (typeof rows === "string") return { refusal: rows };

  const presenceKey = parameters.presence.key ?? randomUUID();
  const facts = { topic, subTopic, joinRef, parameters, presenceKey, token, credential, rights };
  return {
    responseJson: joinResponse(parameters),
    parameters,
    readReplay: replay?.kind === "valid" ? () => server.readStored({ subTopic, ...replay }) : undefined,
    rows,
    enter: () => new Channel(facts, socket, server),
  };
}

/** What follows the reply to a join, in this order. */
export function greetJoined(channel: Channel, parameters: JoinParameters, rows?: PreparedRows): void {
  channel.greet();
  if (parameters.broadcast.replicationReady) channel.saySystem("system", "ok", systemTexts.replicationReady);
  channel.startRows(rows);
}

/** What a join that waits for its row changes got, or why it is refused. */
async function waitForRows(
  { postgresChanges, waitForRowsMs }: JoinParameters,
  credential: Credential,
  { rowChanges, clock }: ServerParts,
): Promise<PreparedRows | string | undefined> {
  if (waitForRowsMs === undefined || postgresChanges.length === 0) return undefined;
  const entries = postgresChanges.map((entry) => ({ entry, id: postgresChangesId(entry) }));
  const preparing = rowChanges.prepare(entries, credential);
  let cancel = (): void => {};
  const late = new Promise<"late">((resolve) => (cancel = clock.after(waitForRowsMs, () => resolve("late"))));
  const outcome = await Promise.race([preparing, late]);
  cancel();
  if (outcome === "late") {
    void preparing.then((tooLate) => "problem" in tooLate || tooLate.release());
    return joinReasons.rowsTimeout(waitForRowsMs);
  }
  return "problem" in outcome ? joinReasons.rowsRefused(outcome.problem) : outcome;
}

function joinResponse({ postgresChanges }: JoinParameters): string {
  const entries = postgresChanges.map((entry) => ({ ...entry, id: postgresChangesId(entry) }));
  return JSON.stringify({ postgres_changes: entries });
}

/** Replay is for private channels: who may read what was stored is decided there. */
function refuseReplay({ replay, isPrivate }: JoinParameters): string | undefined {
  if (replay === undefined) return undefined;
  if (!isPrivate) return joinReasons.replayOnPublic;
  return replay.kind === "invalid" ? joinReasons.replayParameters : undefined;
}
