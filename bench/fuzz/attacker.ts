import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { textFrame } from "./frames.ts";

/** How long an open socket may leave a heartbeat unanswered; a lot, for what is before it has to be done first. */
const PATIENCE_MS = 20_000;

export interface AttackerOptions {
  readonly vsn: "1.0.0" | "2.0.0";
  readonly reads: boolean;
}

/** A socket after its upgrade that sends what it is given, and reads only to see that the server still does. */
export class Attacker {
  readonly #socket: Socket;
  readonly #options: AttackerOptions;
  /** The ref of the heartbeat that is not answered yet. */
  #awaited: { readonly ref: string; readonly answered: () => void } | undefined;
  #tail: Buffer = Buffer.alloc(0);
  #isBroken = false;
  #caughtUp: Promise<void> = Promise.resolve();
  #heartbeats = 0;

  private constructor(socket: Socket, options: AttackerOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.on("data", (data) => this.#read(data));
    if (!options.reads) socket.pause();
  }

  /** Rejects where the server does not take it: that is a failure of the server, for the key is good. */
  static async connect(url: string, key: string, options: AttackerOptions): Promise<Attacker> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    let ends = (_error: Error): void => {};
    const ended = new Promise<never>((_resolve, reject) => (ends = reject));
    ended.catch(() => {}); // whoever waits for the upgrade hears of it
    socket.on("error", (error) => ends(error)); // afterwards it is what happens to attackers
    socket.write(
      `GET /realtime/v1/websocket?apikey=${key}&vsn=${options.vsn} HTTP/1.1\r\nhost: ${hostname}:${port}\r\n` +
        `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n` +
        `sec-websocket-key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
    );
    const [head] = (await Promise.race([once(socket, "data"), ended])) as [Buffer]; // what a socket without encoding reads
    if (!head.toString("latin1").startsWith("HTTP/1.1 101 "))
      throw new Error(`upgrade of an attacker: ${head.toString("latin1").split("\r\n", 1)[0] ?? ""}`);
    return new Attacker(socket, options);
  }

  /** The server has ended it, or is about to. */
  get isGone(): boolean {
    return (
      this.#isBroken || this.#socket.destroyed || this.#socket.writableEnded || this.#socket.readableEnded
    );
  }

  /** Waits until the server has done what was sent before, so that what is under way stays small. */
  async send(bytes: Buffer, { endsSocket = false } = {}): Promise<void> {
    await this.#caughtUp;
    if (this.isGone) return;
    this.#socket.write(bytes);
    this.#isBroken = endsSocket;
    if (this.#options.reads && !endsSocket) this.#caughtUp = this.#heartbeat();
  }

  /** Resolves when the server has read all of it, or the socket is gone. Rejects when neither happens. */
  async settle(): Promise<void> {
    await this.#caughtUp;
  }

  /** Without a word, or with the end of the stream. */
  leave(politely: boolean): void {
    if (politely) this.#socket.end();
    this.#socket.destroy();
  }

  async #heartbeat(): Promise<void> {
    const ref = `beat-${this.#heartbeats++}.`;
    this.#socket.write(
      textFrame(
        this.#options.vsn === "1.0.0"
          ? { topic: "phoenix", event: "heartbeat", payload: {}, ref }
          : [null, ref, "phoenix", "heartbeat", {}],
      ),
    );
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve, reject) => {
        this.#awaited = { ref, answered: resolve };
        this.#socket.once("close", resolve);
        const unanswered = new Error(
          `an attacker's socket is open, and its heartbeat unanswered for ${PATIENCE_MS} ms`,
        );
        timer = setTimeout(() => reject(unanswered), PATIENCE_MS);
      });
    } finally {
      clearTimeout(timer);
      this.#socket.removeAllListeners("close");
    }
  }

  /** An answer may come in two reads. */
  #read(data: Buffer): void {
    if (this.#awaited === undefined) return;
    const { ref, answered } = this.#awaited;
    const text = this.#tail.length === 0 ? data : Buffer.concat([this.#tail, data]);
    if (text.includes(ref)) {
      this.#awaited = undefined;
      this.#tail = Buffer.alloc(0);
      answered();
    } else {
      this.#tail = text.subarray(Math.max(0, text.length - ref.length));
    }
  }
}
