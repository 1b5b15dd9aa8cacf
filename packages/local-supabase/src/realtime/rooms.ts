import type { Codec } from "./codec/codec.ts";
import type { Broadcast } from "./codec/message.ts";
import { textFrame, type WireFrame } from "./codec/wire-frame.ts";
import type { FrameKind } from "./replay/replay-gate.ts";
import { diffJson, Presences, type PresenceChange, type Said } from "./presence/presence.ts";

/** A joined channel, as its room sees it. */
export interface Member {
  readonly codec: Codec;
  readonly receivesBroadcasts: boolean;
  readonly receivesPresence: boolean;
  /** Never throws and never waits. `metaJson` is the broadcast's, which names what is stored; empty where there is none. */
  deliver(frame: WireFrame, kind: FrameKind, metaJson: string): void;
}

/** Everyone on one topic and on one side of the private/public wall. */
export class Room {
  readonly topic: string;
  readonly members: Set<Member> = new Set();
  readonly #presences = new Presences();
  /** What changed in this turn of the event loop and was not told yet. */
  #changes: PresenceChange[] = [];
  /** Who was told the whole state in this turn, and how many of the changes were in it. */
  #greeted = new Map<Member, number>();

  constructor(topic: string) {
    this.topic = topic;
  }

  /** To every member but `except`; encoded once per protocol version. */
  broadcast(broadcast: Broadcast, except?: Member): void {
    const metaJson = broadcast.form === "text" ? "" : broadcast.metaJson;
    const frames = new FramePerCodec((codec) => codec.encodeBroadcast(this.topic, broadcast));
    for (const member of this.members) {
      if (!member.receivesBroadcasts || member === except) continue;
      const frame = frames.of(member.codec);
      if (frame !== undefined) member.deliver(frame, "broadcast", metaJson);
    }
  }

  /** Everyone hears of it, the member included. */
  track(member: Member, said: Said): void {
    this.#change(this.#presences.track(member, said));
  }

  untrack(member: Member): void {
    this.#change(this.#presences.untrack(member));
  }

  /** The payload of `presence_state`. From here on the member hears of what changes after it. */
  greet(member: Member): string {
    if (this.#changes.length > 0) this.#greeted.set(member, this.#changes.length);
    return this.#presences.stateJson;
  }

  /**
   * Changes of one turn are told together, at its end: a thousand members that come at once are a few diffs to each of
   * them and not a thousand. A change alone waits for nothing.
   */
  #change(change: PresenceChange | undefined): void {
    if (change === undefined) return;
    if (this.#changes.length === 0) setImmediate(() => this.#tellChanges());
    this.#changes.push(change);
  }

  #tellChanges(): void {
    const [changes, greeted] = [this.#changes, this.#greeted];
    this.#changes = [];
    this.#greeted = new Map();
    const framesFrom = new Map<number, FramePerCodec>();
    for (const member of this.members) {
      if (!member.receivesPresence) continue;
      const from = greeted.get(member) ?? 0;
      if (from === changes.length) continue;
      let frames = framesFrom.get(from);
      if (frames === undefined) {
        frames = new FramePerCodec((codec) => this.#diffFrame(codec, changes.slice(from)));
        framesFrom.set(from, frames);
      }
      const frame = frames.of(member.codec);
      if (frame !== undefined) member.deliver(frame, "presence", "");
    }
  }

  #diffFrame(codec: Codec, changes: readonly PresenceChange[]): WireFrame {
    const payloadJson = diffJson(changes);
    const { topic } = this;
    return textFrame(codec.encode({ joinRef: null, ref: null, topic, event: "presence_diff", payloadJson }));
  }
}

/** There are two protocol versions, so there are at most two frames, and each is made only for who can read it. */
class FramePerCodec {
  readonly #encode: (codec: Codec) => WireFrame | undefined;
  #first: { readonly codec: Codec; readonly frame: WireFrame | undefined } | undefined;
  #second: { readonly frame: WireFrame | undefined } | undefined;

  constructor(encode: (codec: Codec) => WireFrame | undefined) {
    this.#encode = encode;
  }

  of(codec: Codec): WireFrame | undefined {
    this.#first ??= { codec, frame: this.#encode(codec) };
    if (this.#first.codec === codec) return this.#first.frame;
    this.#second ??= { frame: this.#encode(codec) };
    return this.#second.frame;
  }
}

/** All rooms that have members. */
export class Rooms {
  readonly #rooms = new Map<string, Room>();

  enter(topic: string, isPrivate: boolean, member: Member): Room {
    const key = roomKey(topic, isPrivate);
    let room = this.#rooms.get(key);
    if (room === undefined) {
      room = new Room(topic);
      this.#rooms.set(key, room);
    }
    room.members.add(member);
    return room;
  }

  find(topic: string, isPrivate: boolean): Room | undefined {
    return this.#rooms.get(roomKey(topic, isPrivate));
  }

  /** The member goes first, then the others hear that its presence left. */
  leave(room: Room, isPrivate: boolean, member: Member): void {
    room.members.delete(member);
    room.untrack(member);
    if (room.members.size === 0) this.#rooms.delete(roomKey(room.topic, isPrivate));
  }
}

function roomKey(topic: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"} ${topic}`;
}
