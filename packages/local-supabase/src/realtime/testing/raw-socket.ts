import { once } from "node:events";
import WebSocket from "ws";
import { canonicalFrame, type CanonicalFrame } from "./transcript.ts";

export interface Rejection {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
}

/** A WebSocket without a client library: sends what it is given and keeps what it gets until somebody takes it. */
export class RawSocket {
  readonly received: (string | Buffer)[] = [];
  readonly opened: Promise<Rejection | undefined>;
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
  readonly ws: WebSocket;
  #wake: () => void = () => {};
  #barriers = 0;

  constructor(url: string, headers: Record<string, string> = {}) {
    this.ws = new WebSocket(url.replace(/^http/, "ws"), { headers, perMessageDeflate: false });
    this.opened = new Promise((resolve, reject) => {
      this.ws.on("open", () => resolve(undefined));
      this.ws.on("unexpected-response", (_request, response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const { statusCode: status = 0, headers: got } = response;
          resolve({ status, contentType: got["content-type"], body: Buffer.concat(chunks).toString("utf8") });
        });
      });
      this.ws.on("error", reject);
    });
    this.opened.catch(() => {}); // whoever cares awaits it
    this.closed = new Promise((resolve) => {
      this.ws.on("close", (code, reason) => {
        resolve({ code, reason: reason.toString("utf8") });
        this.#wake();
      });
    });
    this.ws.on("message", (data, isBinary) => {
      const bytes = data as Buffer; // the default binary type of ws
      this.received.push(isBinary ? bytes : bytes.toString("utf8"));
      this.#wake();
    });
  }

  send(frame: string | Buffer): void {
    this.ws.send(frame);
  }

  /** The first frame that `accept` says yes to, taken out of what was received. Undefined when the socket closed first. */
  async take(accept: (frame: CanonicalFrame) => boolean): Promise<CanonicalFrame | undefined> {
    for (;;) {
      for (const [i, data] of this.received.entries()) {
        const frame = canonicalFrame(data);
        if (!accept(frame)) continue;
        this.received.splice(i, 1);
        return frame;
      }
      if (this.ws.readyState === WebSocket.CLOSED) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Resolves when the server has done everything that was pushed to `topic` on this socket. */
  async settle(topic: string, version: "1.0.0" | "2.0.0"): Promise<void> {
    if (this.ws.readyState !== WebSocket.OPEN) return;
    const ref = `barrier-${++this.#barriers}`;
    const event = topic === "phoenix" ? "heartbeat" : "presence";
    this.send(
      version === "1.0.0"
        ? JSON.stringify({ topic, event, payload: {}, ref, join_ref: null })
        : JSON.stringify([null, ref, topic, event, {}]),
    );
    await this.take((frame) => frame["ref"] === ref);
  }

  async close(code = 1000): Promise<void> {
    if (this.ws.readyState === WebSocket.CLOSED) return;
    this.ws.close(code);
    await once(this.ws, "close");
  }
}
