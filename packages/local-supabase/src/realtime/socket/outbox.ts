import type { Duplex } from "node:stream";
import type { WireFrame } from "../codec/wire-frame.ts";

/** Handed to the socket at once: what one turn says to one client mostly fits, and is one write. */
const WRITE_BYTES = 64 * 1024;

/**
 * Sends prepared frames. What is said within one turn of the event loop leaves in one write. While the client does not
 * read, frames wait here and not in the socket; once `maxBufferedBytes` wait, all that wait here are let go and
 * `onOverflow` is called, so that a client that does not read costs the others neither time nor memory.
 *
 * Frames go to the socket directly and not through `ws`, which would write a header per receiver. That is safe because
 * only whole frames are written, and `ws` without compression writes each of its own (pong, close) whole and at once.
 */
export class Outbox {
  readonly #socket: Duplex;
  readonly #maxBufferedBytes: number;
  readonly #onOverflow: () => void;
  #frames: WireFrame[] = [];
  #bytes = 0;
  #isFlushPlanned = false;
  #isBlocked = false;
  #isShut = false;

  constructor(socket: Duplex, maxBufferedBytes: number, onOverflow: () => void) {
    this.#socket = socket;
    this.#maxBufferedBytes = maxBufferedBytes;
    this.#onOverflow = onOverflow;
    socket.on("drain", () => {
      this.#isBlocked = false;
      this.#flush();
    });
  }

  send(frame: WireFrame): void {
    if (this.#isShut || !this.#isOpen()) return;
    // A single frame always fits: what counts is what was left unread before it.
    if (this.#bytes + this.#socket.writableLength > this.#maxBufferedBytes) {
      this.#isShut = true;
      this.#frames = [];
      this.#onOverflow();
      return;
    }
    this.#frames.push(frame);
    this.#bytes += frame.length;
    if (this.#isBlocked) return;
    if (this.#bytes >= WRITE_BYTES) return this.#flush();
    if (this.#isFlushPlanned) return;
    this.#isFlushPlanned = true;
    process.nextTick(() => {
      this.#isFlushPlanned = false;
      this.#flush();
    });
  }

  /** Nothing more is sent but what was said already: a close frame is the last thing on a socket. */
  shut(): void {
    if (this.#isShut) return;
    this.#isShut = true;
    if (this.#frames.length > 0 && this.#isOpen()) this.#socket.write(this.#takeAll());
  }

  #flush(): void {
    if (this.#frames.length === 0 || this.#isBlocked) return;
    const frames = this.#takeAll();
    if (this.#isOpen()) this.#isBlocked = !this.#socket.write(frames);
  }

  /** Copying small frames together costs a fraction of writing them one by one. */
  #takeAll(): Buffer {
    const frames = this.#frames;
    this.#frames = [];
    this.#bytes = 0;
    const [only] = frames;
    return frames.length === 1 && only !== undefined ? only : Buffer.concat(frames);
  }

  #isOpen(): boolean {
    return !this.#socket.destroyed && !this.#socket.writableEnded;
  }
}
