import type { Codec } from "./codec/codec.ts";
import type { Broadcast } from "./codec/message.ts";
import { textFrame, type WireFrame } from "./codec/wire-frame.ts";
import type { FrameKind } from "./replay/replay-gate.ts";
import {
  diffJson,
  noPresence,
  untrack,
  type PresenceChange,
  type PresenceState,
} from "./presence/presence.ts";

/** A joined channel, as its room sees it. */
export interface Member {
  readonly codec: Codec;
  readonly receivesBroadcasts: boolean;
  readonly receivesPresence: boolean;
  /** Never throws and never waits. */
  deliver(frame: WireFrame, kind: FrameKind): void;
}

/** Everyone on one topic and on one side of the private/public wall. */
export class Room {
  readonly topic: string;
  readonly members: Set<Member> = new Set();
  #presence: PresenceState = noPresence;

  constructor(topic: string) {
    this.topic = topic;
  }

  get presence(): PresenceState {
    return this.#presence;
  }

  /** To every member but `except`; encoded once per protocol version. */
  broadcast(broadcast: Broadcast, except?: Member): void {
    this.#fanOut(
      "broadcast",
      (codec) => codec.encodeBroadcast(this.topic, broadcast),
      (member) => member.receivesBroadcasts && member !== except,
    );
  }

  /** Takes over the new state and tells everyone, the one who changed it included. */
  changePresence(change: PresenceChange): void {
    this.#presence = change.state;
    const message = {
      joinRef: null,
      ref: null,
      topic: this.topic,
      event: "presence_diff",
      payloadJson: diffJson(change),
    };
    this.#fanOut(
      "presence",
      (codec) => textFrame(codec.encode(message)),
      (member) => member.receivesPresence,
    );
  }

  /** There are two protocol versions, so there are at most two frames, and each is made only for who can read it. */
  #fanOut(
    kind: FrameKind,
    encode: (codec: Codec) => WireFrame | undefined,
    isReceiver: (member: Member) => boolean,
  ): void {
    let first: { readonly codec: Codec; readonly frame: WireFrame | undefined } | undefined;
    let second: typeof first;
    for (const member of this.members) {
      if (!isReceiver(member)) continue;
      const { codec } = member;
      first ??= { codec, frame: encode(codec) };
      if (first.codec !== codec) second ??= { codec, frame: encode(codec) };
      const frame = first.codec === codec ? first.frame : second?.frame;
      if (frame !== undefined) member.deliver(frame, kind);
    }
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
    const change = untrack(room.presence, member);
    if (change !== undefined) room.changePresence(change);
    if (room.members.size === 0) this.#rooms.delete(roomKey(room.topic, isPrivate));
  }
}

function roomKey(topic: string, isPrivate: boolean): string {
  return `${isPrivate ? "private" : "public"} ${topic}`;
}
