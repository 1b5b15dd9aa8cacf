import { randomBytes } from "node:crypto";
import type { Credential } from "../../keys/credential.ts";
import type { Asker, ReadRights, Verdict } from "../authorization/authorization.ts";
import type { Codec } from "../codec/codec.ts";
import { isObject, type Push, type Scalar, type TextPush } from "../codec/message.ts";
import { isNestedDeeper } from "../codec/nesting.ts";
import type { WireFrame } from "../codec/wire-frame.ts";
import type { StoredMessage } from "../database-feed/announcement.ts";
import { countCall, type CallWindow } from "../presence/call-limit.ts";
import type { PreparedRows } from "../postgres-changes/row-changes.ts";
import { ReplayGate, type FrameKind } from "../replay/replay-gate.ts";
import { replayedFrame } from "../replay/replayed-frame.ts";
import type { Member, Room } from "../rooms.ts";
import type { ServerParts } from "../server-parts.ts";
import { maxPayloadBytes } from "../settings.ts";
import { ChannelBroadcasts } from "./channel-broadcasts.ts";
import { ChannelRows } from "./channel-rows.ts";
import type { JoinParameters } from "./join-parameters.ts";
import { postgresChangesId } from "./postgres-changes-id.ts";
import { closeTexts } from "./texts.ts";
import { TokenWatch } from "./token-watch.ts";

const maxTrackDepth = 100;
/** A message is announced long before; whoever replayed it looks out for it so long. */
const replayGateMs = 10_000;

/** The socket a channel lives on. */
export interface ChannelSocket {
  readonly codec: Codec;
  readonly headers: Readonly<Record<string, string>>;
  deliver(frame: WireFrame): void;
  send(message: { joinRef: Scalar; ref: Scalar; topic: Scalar; event: string; payloadJson: string }): void;
  /** Does `task` in the order of the channel's pushes. */
  enqueue(channel: Channel, task: () => Promise<void>): void;
  /** The channel closed itself. */
  forget(channel: Channel): void;
}

export interface ChannelFacts {
  readonly topic: string;
  readonly subTopic: string;
  readonly joinRef: Scalar;
  readonly parameters: JoinParameters;
  readonly presenceKey: string;
  readonly token: string;
  readonly credential: Credential;
  /** What row level security lets it read; everything on a public channel. */
  readonly rights: ReadRights;
}

/*  joining ──ok──▶ joined ──leave, rejoin, socket gone──▶ closed
 *                  joined ──token ended, limit, right lost──▶ closed, after `system` and `phx_close` */

/** One joined topic on one socket. */
export class Channel implements Member {
  readonly topic: string;
  readonly joinRef: Scalar;
  readonly codec: Codec;
  readonly #facts: ChannelFacts;
  readonly #socket: ChannelSocket;
  readonly #server: ServerParts;
  readonly #room: Room;
  readonly #broadcasts: ChannelBroadcasts;
  readonly #tokenWatch: TokenWatch;
  readonly #rows: ChannelRows;
  #credential: Credential;
  #rights: ReadRights;
  #mayTrack: Verdict | undefined;
  #wantsPresence: boolean;
  #presenceWindow: CallWindow | undefined;
  #gate: ReplayGate | undefined;
  #cancelGate: () => void = () => {};
  #isClosed = false;

  /** Joins its room at once. */
  constructor(facts: ChannelFacts, socket: ChannelSocket, server: ServerParts) {
    this.topic = facts.topic;
    this.joinRef = facts.joinRef;
    this.codec = socket.codec;
    this.#facts = facts;
    this.#socket = socket;
    this.#server = server;
    this.#credential = facts.credential;
    this.#rights = facts.rights;
    this.#wantsPresence = facts.parameters.presence.enabled || server.settings.hasPresenceAlways;
    if (facts.parameters.replay !== undefined) this.#gate = new ReplayGate();
    server.metrics.channels++;
    this.#room = server.rooms.enter(facts.topic, facts.parameters.isPrivate, this);
    this.#broadcasts = new ChannelBroadcasts(server, {
      member: this,
      room: this.#room,
      parameters: facts.parameters,
      asker: () => this.#asker(),
      isClosed: () => this.#isClosed,
      reply: (ref, status, responseJson) => this.reply(ref, status, responseJson),
    });
    this.#tokenWatch = new TokenWatch(facts, server, {
      expired: (secondsAgo) => this.#closeWith(closeTexts.expired(secondsAgo)),
      apply: (run) => socket.enqueue(this, run),
      refused: (text) => this.#closeWith(text),
      accepted: (credential) => this.#changeCredential(credential),
    });
    this.#rows = new ChannelRows({
      entries: facts.parameters.postgresChanges.map((entry) => ({ entry, id: postgresChangesId(entry) })),
      rowChanges: server.rowChanges,
      receiver: this,
      say: (status, message) => this.saySystem("postgres_changes", status, message),
    });
  }

  get namesEvents(): boolean {
    return this.#facts.parameters.namesRowEvents;
  }

  get receivesBroadcasts(): boolean {
    return this.#rights.broadcast;
  }

  get receivesPresence(): boolean {
    return this.#wantsPresence && this.#rights.presence;
  }

  deliver(frame: WireFrame, kind: FrameKind, metaJson: string): void {
    if (this.#gate?.stops(frame, kind, metaJson) === true) return;
    this.#socket.deliver(frame);
    const { limits, metrics } = this.#server;
    if (kind === "presence") {
      metrics.presenceEvents++;
      limits?.countPresence();
    } else {
      metrics.messagesDelivered++;
      if (limits?.countDelivered() === false) this.#closeWith(closeTexts.messageRate);
    }
  }

  /** Over the rate of a project rows are left out, and nobody is told. Source: session limit-pgchanges. */
  deliverRow(frame: WireFrame): void {
    const { limits, metrics } = this.#server;
    if (limits?.isOverMessages === true) return void metrics.droppedRowChanges++;
    limits?.countSent();
    metrics.rowChanges++;
    this.#socket.deliver(frame);
  }

  /** What was stored before this channel was there, and then what came while that was read. */
  replay(stored: readonly StoredMessage[]): void {
    const gate = this.#gate;
    if (gate === undefined) return;
    const readable = this.#rights.broadcast ? stored : [];
    for (const { broadcast } of readable) {
      const frame = replayedFrame(this.codec, this, broadcast);
      if (frame !== undefined) this.#socket.deliver(frame);
    }
    const replayed = readable.flatMap(({ broadcast }) =>
      broadcast.form === "text" ? [] : broadcast.metaJson,
    );
    gate.open(replayed, (frame, kind, metaJson) => this.deliver(frame, kind, metaJson));
    this.#cancelGate = this.#server.clock.after(replayGateMs, () => (this.#gate = undefined));
  }

  /** What a joined channel is told first, after its reply. */
  greet(): void {
    if (!this.receivesPresence) return;
    this.#server.metrics.presenceEvents++;
    if (this.#server.limits?.countPresence() === false) this.#closeWith(closeTexts.projectPresenceRate);
    else this.#say("presence_state", this.#room.greet(this));
  }

  /** Row changes, once their tables are captured; nothing else of the channel waits for them. */
  startRows(prepared?: PreparedRows): void {
    void this.#rows.start(this.#credential, prepared);
  }

  /** Returns a promise only where it has to wait. Events that mean nothing here are ignored. */
  receive(push: Push): void | Promise<void> {
    if (this.#isClosed) return;
    if (push.kind === "binary" || push.event === "broadcast") return this.#broadcasts.receive(push);
    if (push.event === "presence") return this.#presence(push);
    if (push.event === "access_token") return this.#tokenWatch.offer(push.payload);
  }

  /** Without a word to the client: it left, or its socket is gone. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#tokenWatch.stop();
    this.#cancelGate();
    this.#server.metrics.channels--;
    this.#rows.stop();
    this.#server.rooms.leave(this.#room, this.#facts.parameters.isPrivate, this);
  }

  reply(ref: Scalar, status: "ok" | "error", responseJson = "{}"): void {
    const payloadJson = `{"status":"${status}","response":${responseJson}}`;
    this.#socket.send({ joinRef: this.joinRef, ref, topic: this.topic, event: "phx_reply", payloadJson });
  }

  saySystem(extension: "system" | "postgres_changes", status: "ok" | "error", message: string): void {
    this.#say("system", JSON.stringify({ message, status, extension, channel: this.#facts.subTopic }));
  }

  sayClosed(): void {
    const { joinRef, topic } = this;
    this.#socket.send({ joinRef, ref: joinRef, topic, event: "phx_close", payloadJson: "{}" });
  }

  #say(event: string, payloadJson: string): void {
    this.#socket.send({ joinRef: this.joinRef, ref: null, topic: this.topic, event, payloadJson });
  }

  /** Final for the official client, which does not come back by itself after `phx_close`. */
  #closeWith(text: string): void {
    if (this.#isClosed) return;
    this.close();
    this.saySystem("system", "error", text);
    this.sayClosed();
    this.#socket.forget(this);
  }

  #presence(push: TextPush): void | Promise<void> {
    const call = isObject(push.payload) ? push.payload : {};
    if (call["event"] === undefined) return this.reply(push.ref, "ok");
    const name = typeof call["event"] === "string" ? call["event"].toLowerCase() : undefined;
    if (name !== "track" && name !== "untrack") return this.reply(push.ref, "error");

    const { settings, clock } = this.#server;
    this.#presenceWindow = countCall(this.#presenceWindow, clock.now(), settings.presenceCalls);
    if (this.#presenceWindow === undefined) return this.#closeWith(closeTexts.presenceRate);

    const run = (): void =>
      name === "track" ? this.#track(push.ref, call["payload"]) : this.#untrack(push.ref);
    if (!this.#facts.parameters.isPrivate || this.#mayTrack === "allowed") return run();
    if (this.#mayTrack === "denied") return this.reply(push.ref, "error");
    return this.#askAndRun(push.ref, run);
  }

  async #askAndRun(ref: Scalar, run: () => void): Promise<void> {
    const verdict = await this.#server.authorization.mayWrite(this.#asker(), "presence");
    if (this.#isClosed) return;
    if (verdict !== "failed") this.#mayTrack = verdict;
    if (verdict === "allowed") run();
    else this.reply(ref, "error");
  }

  #track(ref: Scalar, payload: unknown = {}): void {
    if (!isObject(payload)) {
      return this.reply(ref, "error", JSON.stringify({ reason: "Presence track payload must be a map" }));
    }
    // It is kept and written again for every newcomer, each time on another depth of the stack.
    if (isNestedDeeper(payload, maxTrackDepth)) {
      const reason = `Presence track payload must be nested at most ${maxTrackDepth} deep`;
      return this.reply(ref, "error", JSON.stringify({ reason }));
    }
    if (Buffer.byteLength(JSON.stringify(payload)) > maxPayloadBytes(this.#server.settings)) {
      return this.#closeWith(closeTexts.presenceSize);
    }
    this.#server.metrics.presenceEvents++;
    if (this.#server.limits?.countPresence() === false)
      return this.#closeWith(closeTexts.projectPresenceRate);
    this.reply(ref, "ok");
    if (!this.#wantsPresence) {
      this.#wantsPresence = true; // who shows itself wants to see the others
      this.greet();
      if (this.#isClosed) return;
    }
    const { presenceKey: key } = this.#facts;
    this.#room.track(this, { key, ref: randomBytes(12).toString("base64url"), payload });
  }

  #untrack(ref: Scalar): void {
    this.reply(ref, "ok");
    this.#room.untrack(this);
  }

  /** Undefined, or the text to close with. Rights to write are asked for again when they are needed. */
  async #changeCredential(credential: Credential): Promise<string | undefined> {
    this.#credential = credential;
    this.#broadcasts.forgetRights();
    this.#mayTrack = undefined;
    void this.#rows.renew(credential);
    if (!this.#facts.parameters.isPrivate) return undefined;
    const rights = await this.#server.authorization.mayRead(this.#asker());
    if (rights === undefined) return closeTexts.policiesUnreadable;
    if (!mayJoin(rights, this.#wantsPresence)) return closeTexts.noReadRight(this.#facts.subTopic);
    this.#rights = rights;
    return undefined;
  }

  #asker(): Asker {
    return { subTopic: this.#facts.subTopic, credential: this.#credential, headers: this.#socket.headers };
  }
}

/** The right to read presence counts only where presence is wanted. */
export function mayJoin(rights: ReadRights, wantsPresence: boolean): boolean {
  return rights.broadcast || (wantsPresence && rights.presence);
}
