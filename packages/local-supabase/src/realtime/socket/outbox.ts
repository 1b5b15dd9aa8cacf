import type { Duplex } from "node:stream";
import type { WireFrame } from "../codec/wire-frame.ts";

/**
 * Sends prepared frames. What is sent within one turn of the event loop leaves in one write. A receiver that does not
 * read is cut off once `maxBufferedBytes` wait for it, so that it costs the others neither time nor memory.
 *
 * Frames go to the socket directly and not through `ws`, which would write a header per receiver. That is safe
 * because without compression `ws` writes each of its own frames (pong, close) whole and at once.
 */
export class Outbox {
  readonly #socket: Duplex;
  readonly #maxBufferedBytes: number;
  readonly #onOverflow: () => void;
  #isCorked = false;
  #isShut = false;

  constructor(socket: Duplex, maxBufferedBytes: number, onOverflow: () => void) {
    this.#socket = socket;
    this.#maxBufferedBytes = maxBufferedBytes;
    this.#onOverflow = onOverflow;
  }

  send(frame: WireFrame): void {
    const socket = this.#socket;
    if (this.#isShut || socket.destroyed || socket.writableEnded) return;
    if (!this.#isCorked) {
      this.#isCorked = true;
      socket.cork();
      process.nextTick(() => {
        this.#isCorked = false;
        socket.uncork();
      });
    }
    // A single frame always fits: what counts is what was left unread before it.
    if (socket.writableLength > this.#maxBufferedBytes) {
      this.#isShut = true;
      this.#onOverflow();
      return;
    }
    socket.write(frame);
  }

  /** Nothing more is sent: a close frame is the last thing on a socket. */
  shut(): void {
    this.#isShut = true;
  }
}
