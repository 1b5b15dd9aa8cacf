import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import { type Channel, type ChannelSocket } from "../channel/channel.ts";
import { checkJoin, greetJoined, TOPIC_PREFIX } from "../channel/join.ts";
import { joinReasons, systemTexts } from "../channel/texts.ts";
import type { Codec } from "../codec/codec.ts";
import type { Message, Push, Scalar } from "../codec/message.ts";
import { textFrame, type WireFrame } from "../codec/wire-frame.ts";
import type { ServerParts } from "../server-parts.ts";
import { IdleTimer } from "./idle-timer.ts";
import { Lane } from "./lane.ts";
import { Outbox } from "./outbox.ts";

export interface ConnectionParts {
  readonly ws: WebSocket;
  readonly socket: Duplex;
  readonly codec: Codec;
  /** The key the socket was opened with. */
  readonly token: string;
  /** Request headers that policies may see. */
  readonly headers: Readonly<Record<string, string>>;
  readonly server: ServerParts;
  readonly onClosed: (connection: Connection) => void;
}

type Task = () => void | Promise<void>;

/** RFC 6455, section 7.4.1: a message broke the policy of the server, which is that clients read. */
const SLOW_READER = 1008;

/** One topic of the socket: what was said about it and is not done yet, and the channel, once joined. */
interface Topic {
  readonly lane: Lane<Push | Task>;
  channel: Channel | undefined;
}

/** One WebSocket: reads frames, gives each topic its own order, and closes what it opened. */
export class Connection implements ChannelSocket {
  readonly codec: Codec;
  readonly headers: Readonly<Record<string, string>>;
  readonly closed: Promise<void>;
  readonly #ws: WebSocket;
  readonly #token: string;
  readonly #server: ServerParts;
  readonly #outbox: Outbox;
  readonly #idle: IdleTimer;
  readonly #topics = new Map<string, Topic>();
  #isClosed = false;

  constructor({ ws, socket, codec, token, headers, server, onClosed }: ConnectionParts) {
    this.codec = codec;
    this.headers = headers;
    this.#ws = ws;
    this.#token = token;
    this.#server = server;
    this.#outbox = new Outbox(socket, server.settings.maxBufferedBytes, () => this.#cutOff());
    this.#idle = new IdleTimer(server.clock, server.settings.idleTimeoutMs, () => this.close(1000));
    server.metrics.sockets++;
    this.closed = new Promise((resolve) => {
      ws.on("close", () => {
        this.#release();
        onClosed(this);
        resolve();
      });
    });
    ws.on("error", (error) => server.log("debug", "realtime: socket error", { reason: error.message })); // close follows
    ws.on("ping", () => this.#idle.touch());
    ws.on("pong", () => this.#idle.touch());
    ws.on("message", (data, isBinary) => {
      this.#idle.touch();
      this.#server.metrics.framesIn++;
      // `nodebuffer` is the binary type of this server, so there is never a list of fragments.
      const push = this.codec.decode(data as Buffer, isBinary);
      if (push !== undefined && !this.#isClosed) this.#receive(push);
    });
  }

  deliver(frame: WireFrame): void {
    if (this.#isClosed) return;
    this.#server.metrics.framesOut++;
    this.#outbox.send(frame);
  }

  send(message: Message): void {
    this.deliver(textFrame(this.codec.encode(message)));
  }

  enqueue(channel: Channel, task: Task): void {
    const topic = this.#topics.get(channel.topic);
    if (topic?.channel === channel) topic.lane.push(task);
  }

  forget(channel: Channel): void {
    const topic = this.#topics.get(channel.topic);
    if (topic?.channel !== channel) return;
    topic.channel = undefined;
    this.#tidy(channel.topic, topic);
  }

  /** Leaves every channel at once, then closes. */
  close(code: number, reason = ""): void {
    this.#release();
    this.#outbox.shut();
    this.#ws.close(code, reason);
  }

  /** Announces the orderly end of the server and says nothing more: not even who left. Then comes `close(1012)`. */
  sayGoodbye(): void {
    const payloadJson = JSON.stringify({
      message: systemTexts.disconnect,
      status: "ok",
      extension: "system",
    });
    for (const [topic, { channel }] of this.#topics) {
      if (channel !== undefined) this.send({ joinRef: null, ref: null, topic, event: "system", payloadJson });
    }
    this.#outbox.shut();
  }

  terminate(): void {
    this.#release();
    this.#ws.terminate();
  }

  #cutOff(): void {
    const { metrics, log, clock, settings } = this.#server;
    metrics.droppedSlowReaders++;
    log("info", "realtime: a client that does not read was cut off", {
      maxBufferedBytes: settings.maxBufferedBytes,
      slowReaders: metrics.droppedSlowReaders,
    });
    // Later, since this is called while a room is walked through.
    queueMicrotask(() => {
      this.close(SLOW_READER, `too slow: more than ${settings.maxBufferedBytes} bytes waited to be read`);
      const cancel = clock.after(settings.closeGraceMs, () => this.terminate());
      void this.closed.then(cancel);
    });
  }

  #release(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#idle.stop();
    this.#server.limits?.free(this);
    this.#server.metrics.sockets--;
    // What was said before the end is done first: it may wait for a policy.
    for (const topic of this.#topics.values()) topic.lane.push(() => topic.channel?.close());
    this.#topics.clear();
  }

  #receive(push: Push): void {
    const { topic } = push;
    const isText = push.kind === "text";
    if (topic === "phoenix") {
      if (isText && push.event === "heartbeat") this.#reply(null, push, "ok", {});
      else this.#reply(null, push, "error", { reason: joinReasons.unmatchedTopic });
      return;
    }
    let known = typeof topic === "string" ? this.#topics.get(topic) : undefined;
    if (known === undefined && isText && push.event === "phx_join" && isJoinable(topic))
      known = this.#open(topic);
    if (known !== undefined) {
      known.lane.push(push);
      if (known.lane.waiting > this.#server.settings.maxWaitingPushes) this.#ws.pause();
    } else {
      this.#answerUnjoined(push);
    }
  }

  #open(name: string): Topic {
    const topic: Topic = {
      channel: undefined,
      lane: new Lane<Push | Task>(
        (item) => this.#work(name, topic, item),
        () => {
          if (this.#ws.isPaused) this.#ws.resume();
          this.#tidy(name, topic);
        },
      ),
    };
    this.#topics.set(name, topic);
    return topic;
  }

  #tidy(name: string, topic: Topic): void {
    if (topic.channel === undefined && topic.lane.isIdle && this.#topics.get(name) === topic)
      this.#topics.delete(name);
  }

  #work(name: string, topic: Topic, item: Push | Task): void | Promise<void> {
    try {
      const pending = typeof item === "function" ? item() : this.#dispatch(name, topic, item);
      return pending?.catch((error: unknown) => this.#crash(topic, error));
    } catch (error) {
      this.#crash(topic, error);
    }
  }

  #dispatch(name: string, topic: Topic, push: Push): void | Promise<void> {
    if (push.kind === "text" && push.event === "phx_join")
      return this.#isClosed ? undefined : this.#join(name, topic, push.joinRef, push);
    if (topic.channel === undefined) return this.#answerUnjoined(push);
    if (push.kind === "text" && push.event === "phx_leave")
      return this.#leave(name, topic, topic.channel, push);
    return topic.channel.receive(push);
  }

  /** A topic that is joined already stays so until its successor is: nothing is missed in between. */
  async #join(name: string, topic: Topic, joinRef: Scalar, push: Push): Promise<void> {
    const payload = push.kind === "text" ? push.payload : undefined;
    const { metrics, clock } = this.#server;
    const askedAtMs = clock.now();
    const outcome = await checkJoin(
      { topic: name, joinRef, payload, socketToken: this.#token, otherChannels: this.#otherChannels(topic) },
      this,
      this.#server,
    );
    const rows = "rows" in outcome ? outcome.rows : undefined;
    if (this.#isClosed) return rows?.release();
    const previous = topic.channel;
    previous?.close();
    topic.channel = undefined;
    const refuse = async (reason: string): Promise<void> => {
      metrics.joinsRefused++;
      await this.#wait(this.#server.settings.joinRefusalDelayMs);
      this.#reply(joinRef, push, "error", { reason });
      previous?.sayClosed();
    };
    if ("refusal" in outcome) {
      await refuse(outcome.refusal);
      if (outcome.endsSocket === true) this.close(1001);
      return;
    }
    // Joins of several topics are checked at the same time.
    if (this.#server.limits?.hasTooManyChannels(this.#otherChannels(topic)) === true) {
      rows?.release();
      return await refuse(joinReasons.tooManyChannels);
    }
    const channel = outcome.enter();
    topic.channel = channel;
    const stored = outcome.readReplay === undefined ? [] : await outcome.readReplay();
    if (this.#isClosed) return rows?.release();
    if (stored === undefined) {
      rows?.release();
      channel.close();
      topic.channel = undefined;
      return await refuse(joinReasons.replayFailed);
    }
    channel.reply(push.ref, "ok", outcome.responseJson);
    metrics.joinsAccepted++;
    metrics.joinLatency.observe(clock.now() - askedAtMs);
    previous?.sayClosed();
    channel.replay(stored);
    greetJoined(channel, outcome.parameters, rows);
  }

  #otherChannels(topic: Topic): number {
    let count = 0;
    for (const other of this.#topics.values()) if (other !== topic && other.channel !== undefined) count++;
    return count;
  }

  #leave(name: string, topic: Topic, channel: Channel, push: Push): void {
    if (push.joinRef !== channel.joinRef) return; // of an earlier life of the topic
    channel.close();
    channel.reply(push.ref, "ok");
    channel.sayClosed();
    topic.channel = undefined;
    this.#tidy(name, topic);
  }

  #answerUnjoined(push: Push): void {
    const isLeave = push.kind === "text" && push.event === "phx_leave" && isJoinable(push.topic);
    if (isLeave) this.#reply(push.joinRef, push, "ok", {});
    else this.#reply(null, push, "error", { reason: joinReasons.unmatchedTopic });
  }

  /** A mistake of ours ends the one channel it happened in; the client rejoins after `phx_error`. */
  #crash(topic: Topic, error: unknown): void {
    this.#server.log("error", "realtime: a channel crashed", { reason: String(error) });
    const { channel } = topic;
    if (channel === undefined || this.#isClosed) return;
    topic.channel = undefined;
    try {
      channel.close();
    } catch (closing) {
      // Whatever the mistake was, it ends with this channel.
      this.#server.log("error", "realtime: a crashed channel did not close", { reason: String(closing) });
    }
    const { joinRef } = channel;
    const payloadJson = JSON.stringify({ reason: "channel_crash" });
    this.send({ joinRef, ref: joinRef, topic: channel.topic, event: "phx_error", payloadJson });
  }

  #reply(joinRef: Scalar, push: Push, status: "ok" | "error", response: object): void {
    const payloadJson = JSON.stringify({ status, response });
    this.send({ joinRef, ref: push.ref, topic: push.topic, event: "phx_reply", payloadJson });
  }

  #wait(ms: number): Promise<void> {
    return ms === 0
      ? Promise.resolve()
      : new Promise((resolve) => void this.#server.clock.after(ms, resolve));
  }
}

function isJoinable(topic: Scalar): topic is string {
  return typeof topic === "string" && topic.startsWith(TOPIC_PREFIX);
}
