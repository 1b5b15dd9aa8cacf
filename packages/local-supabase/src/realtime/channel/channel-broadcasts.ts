import { randomUUID } from "node:crypto";
import type { Asker, Verdict } from "../authorization/authorization.ts";
import { isJsonBytes } from "../codec/binary.ts";
import { isObject, type Broadcast, type Push, type Scalar } from "../codec/message.ts";
import { INVALID_TTL, persistOfMeta, type Persist } from "../persist/persist.ts";
import type { Member, Room } from "../rooms.ts";
import type { ServerParts } from "../server-parts.ts";
import { maxPayloadBytes } from "../settings.ts";
import type { JoinParameters } from "./join-parameters.ts";

/** The channel that broadcasts. */
export interface BroadcastingChannel {
  readonly member: Member;
  readonly room: Room;
  readonly parameters: JoinParameters;
  asker(): Asker;
  isClosed(): boolean;
  reply(ref: Scalar, status: "ok" | "error", responseJson?: string): void;
}

/** What the client of one channel broadcasts: whether it may, to whom it goes, and what is answered. */
export class ChannelBroadcasts {
  readonly #server: ServerParts;
  readonly #channel: BroadcastingChannel;
  #mayBroadcast: Verdict | undefined;
  #mayPersist: Verdict | undefined;

  constructor(server: ServerParts, channel: BroadcastingChannel) {
    this.#server = server;
    this.#channel = channel;
  }

  /** The rights are asked for again with the next broadcast. */
  forgetRights(): void {
    this.#mayBroadcast = undefined;
    this.#mayPersist = undefined;
  }

  /** Returns a promise only where it has to wait. */
  receive(push: Push): void | Promise<void> {
    const broadcast = this.#read(push);
    if (typeof broadcast === "string") return this.#refuse(push, broadcast);
    const persist = push.kind === "binary" ? persistOfMeta(push.metaJson) : undefined;
    if (persist === INVALID_TTL) return this.#refuse(push, INVALID_TTL);
    if (persist !== undefined && broadcast.form !== "text") return this.#store(push, broadcast, persist);
    if (!this.#channel.parameters.isPrivate || this.#mayBroadcast === "allowed")
      return this.#fanOut(push, broadcast);
    if (this.#mayBroadcast === "denied") return this.#refuse(push, "unauthorized");
    return this.#askAndFanOut(push, broadcast);
  }

  async #askAndFanOut(push: Push, broadcast: Broadcast): Promise<void> {
    const objection = await this.#ask();
    if (objection !== undefined) return this.#refuse(push, objection);
    // The channel may have been closed meanwhile: it was said before, to whoever is in the room by now.
    const room = this.#channel.isClosed()
      ? this.#server.rooms.find(this.#channel.room.topic, true)
      : this.#channel.room;
    this.#fanOut(push, broadcast, { room });
  }

  /** Stored first: who comes while it is sent finds it, and what cannot be stored is not sent. */
  async #store(push: Push, broadcast: Exclude<Broadcast, { form: "text" }>, persist: Persist): Promise<void> {
    const { parameters } = this.#channel;
    const objection = parameters.isPrivate
      ? ((await this.#ask()) ?? (await this.#askToPersist()))
      : "unauthorized";
    if (this.#channel.isClosed()) return;
    if (objection !== undefined) return this.#refuse(push, objection);
    const id = randomUUID();
    const { subTopic } = this.#channel.asker();
    const problem = await this.#server.storeMessage({ id, subTopic, broadcast, persist });
    if (problem !== undefined) return this.#refuse(push, problem);
    const idJson = JSON.stringify({ id });
    // Also when the channel closed meanwhile: it is stored, so it was said, to whoever is in the room by now.
    const room = this.#server.rooms.find(this.#channel.room.topic, true);
    this.#fanOut(push, { ...broadcast, metaJson: idJson }, { room, responseJson: idJson });
  }

  /** Undefined where it may broadcast, else the `error` to answer. */
  async #ask(): Promise<string | undefined> {
    if (this.#mayBroadcast === undefined) {
      const verdict = await this.#server.authorization.mayWrite(this.#channel.asker(), "broadcast");
      if (verdict === "failed") return "rls_policy_error";
      this.#mayBroadcast = verdict;
    }
    return this.#mayBroadcast === "allowed" ? undefined : "unauthorized";
  }

  async #askToPersist(): Promise<string | undefined> {
    if (this.#mayPersist === undefined) {
      const verdict = await this.#server.authorization.mayWrite(this.#channel.asker(), "persistence");
      if (verdict === "failed") return "rls_policy_error";
      this.#mayPersist = verdict;
    }
    return this.#mayPersist === "allowed" ? undefined : "unauthorized";
  }

  #fanOut(
    push: Push,
    broadcast: Broadcast,
    { room, responseJson }: { room?: Room | undefined; responseJson?: string } = this.#channel,
  ): void {
    const { member, parameters } = this.#channel;
    const { ack, self } = parameters.broadcast;
    this.#server.metrics.broadcastsFromSockets++;
    this.#server.limits?.countSent();
    room?.broadcast(broadcast, self ? undefined : member);
    if (ack) this.#reply(push, "ok", responseJson);
  }

  /** The broadcast, or the `error` that an acknowledged push is answered with. */
  #read(push: Push): Broadcast | string {
    const largest = maxPayloadBytes(this.#server.settings);
    if (push.kind === "binary") {
      const { userEvent: event, payload } = push;
      if (payload.length > largest) return "payload_size_exceeded";
      if (!push.isJson) return { form: "bytes", event, payload, metaJson: "" };
      return isJsonBytes(payload) ? { form: "json", event, payload, metaJson: "" } : "invalid_payload";
    }
    if (!isHarmless(push.payload)) return "invalid_payload";
    const payloadJson = this.#channel.member.codec.payloadText(push);
    return Buffer.byteLength(payloadJson) > largest ? "payload_size_exceeded" : { form: "text", payloadJson };
  }

  #refuse(push: Push, error: string): void {
    if (this.#channel.parameters.broadcast.ack) this.#reply(push, "error", JSON.stringify({ error }));
  }

  #reply(push: Push, status: "ok" | "error", responseJson?: string): void {
    if (!this.#channel.isClosed()) this.#channel.reply(push.ref, status, responseJson);
  }
}

/**
 * The official client throws inside its message handler, and stays deaf, on a broadcast that is no object, whose
 * `event` is no text, or that has `ids` (which makes it look for row changes).
 */
function isHarmless(payload: unknown): boolean {
  if (!isObject(payload) || Object.hasOwn(payload, "ids")) return false;
  return payload["event"] == null || typeof payload["event"] === "string";
}
