import { RawSocket } from "./raw-socket.ts";
import type { Command } from "./interleaving-model.ts";
import { canonicalFrame, type CanonicalFrame } from "./transcript.ts";

type Metas = Readonly<
  Record<string, { readonly metas: readonly { readonly phx_ref: string; readonly n: number }[] }>
>;

/** What one client knows of one room, from frames alone. Whatever the protocol forbids is thrown. */
class RoomView {
  /** Undefined where it is not joined. */
  joinRef: string | undefined;
  /** Who is there, as `client:n` by ref; undefined until a state came. */
  present: Map<string, string> | undefined;
  /** Numbers of broadcasts in this phase. */
  heard: number[] = [];
  readonly #newest = new Map<number, number>();

  take(frame: CanonicalFrame): void {
    const { event, payload } = frame as { event?: string; payload: unknown }; // see canonicalFrame
    if (event === "phx_close" && frame["ref"] === this.joinRef) this.leave();
    else if (event === "presence_state") this.present = new Map(presencesIn(payload as Metas));
    else if (event === "presence_diff") this.#takeDiff(payload as { joins: Metas; leaves: Metas });
    else if (event === "broadcast" || frame["userEvent"] !== undefined) this.#takeBroadcast(frame);
  }

  join(joinRef: string): void {
    this.joinRef = joinRef;
    this.present = undefined;
  }

  leave(): void {
    this.joinRef = undefined;
    this.present = undefined;
  }

  #takeDiff({ joins, leaves }: { joins: Metas; leaves: Metas }): void {
    const { present } = this;
    if (present === undefined) throw new Error("a diff came before the state");
    for (const [ref, who] of presencesIn(joins)) {
      if (present.has(ref)) throw new Error(`${who} came twice`);
      present.set(ref, who);
    }
    for (const [ref, who] of presencesIn(leaves))
      if (!present.delete(ref)) throw new Error(`${who} left unknown`);
  }

  #takeBroadcast(frame: CanonicalFrame): void {
    if (this.joinRef === undefined) throw new Error("a broadcast came to a room that is not joined");
    const { payload } = frame as { payload: { n?: number; payload?: { n: number } } }; // binary, or text
    const n = payload.n ?? payload.payload?.n ?? Number.NaN;
    const sender = n % 10;
    if (!(n > (this.#newest.get(sender) ?? -1))) throw new Error(`${n} came twice, or behind a later one`);
    this.#newest.set(sender, n);
    this.heard.push(n);
  }
}

/** A socket of one protocol version that pushes commands without waiting, and reads what came of them. */
export class InterleavingClient {
  readonly socket: RawSocket;
  readonly rooms: readonly RoomView[];
  readonly #version: "1.0.0" | "2.0.0";
  readonly #topics: readonly string[];
  readonly #pushes = new Map<string, { readonly command: Command; readonly joinRef: string }>();
  /** What was answered, by ref: a status, or "unmatched". */
  readonly answers = new Map<string, string>();
  #joinRefs: (string | null)[];

  constructor(url: string, version: "1.0.0" | "2.0.0", topics: readonly string[]) {
    this.socket = new RawSocket(`${url}&vsn=${version}`);
    this.#version = version;
    this.#topics = topics;
    this.rooms = topics.map(() => new RoomView());
    this.#joinRefs = topics.map(() => null);
  }

  /** `ref` is new for every push; a join's is its join_ref. */
  push(command: Command, ref: string, payload: unknown): void {
    const { room } = command;
    if (command.do === "join") this.#joinRefs[room] = ref;
    const joinRef = this.#joinRefs[room] ?? null;
    this.#pushes.set(ref, { command, joinRef: ref });
    const topic = this.#topics[room] ?? "";
    const event = events[command.do] ?? "";
    if (command.do === "broadcast" && command.isBinary && this.#version === "2.0.0") {
      const parts = [joinRef ?? "", ref, topic, "e", ""].map((part) => Buffer.from(part));
      const header = [3, ...parts.map(({ length }) => length), 1];
      this.socket.send(Buffer.concat([Buffer.from(header), ...parts, Buffer.from(JSON.stringify(payload))]));
    } else {
      const said = command.do === "broadcast" ? { type: "broadcast", event: "e", payload } : payload;
      this.socket.send(
        JSON.stringify(
          this.#version === "1.0.0"
            ? { topic, event, payload: said, ref, join_ref: joinRef }
            : [joinRef, ref, topic, event, said],
        ),
      );
    }
  }

  /** Resolves when the server has done all pushes and whatever followed from them is here. */
  async settle(): Promise<void> {
    for (const topic of [...this.#topics, "phoenix"]) await this.socket.settle(topic, this.#version);
  }

  /** Takes what came, in order. */
  read(): void {
    for (const frame of this.socket.received.splice(0).map(canonicalFrame)) {
      const room = this.rooms[this.#topics.indexOf(String(frame["topic"]))];
      if (frame["event"] === "phx_reply") this.#takeReply(frame);
      else room?.take(frame);
    }
  }

  #takeReply(frame: CanonicalFrame): void {
    const ref = String(frame["ref"]);
    const push = this.#pushes.get(ref);
    if (push === undefined) throw new Error(`an answer to ${ref}, which was never pushed`);
    if (this.answers.has(ref)) throw new Error(`a second answer to ${ref}`);
    const { status, response } = frame["payload"] as { status: string; response: { reason?: string } };
    this.answers.set(ref, response.reason === "unmatched topic" ? "unmatched" : status);
    const room = this.rooms[push.command.room];
    if (push.command.do === "join" && status === "ok") room?.join(push.joinRef);
    if (push.command.do === "leave") room?.leave();
  }
}

const events: Readonly<Partial<Record<Command["do"], string>>> = {
  join: "phx_join",
  leave: "phx_leave",
  track: "presence",
  untrack: "presence",
  broadcast: "broadcast",
  token: "access_token",
};

function* presencesIn(metas: Metas): Generator<[ref: string, who: string]> {
  for (const [key, { metas: ofKey }] of Object.entries(metas))
    for (const { phx_ref: ref, n } of ofKey) yield [ref, `${key}:${n}`];
}
