import type { Worker } from "node:worker_threads";
import { FederationError } from "../../runtime/errors.ts";
import { canStartThread, startThread } from "../../runtime/start-thread.node.ts";
import { forgetFlags, isWorking, watchedFlags } from "../../runtime/unbroken-work.node.ts";
import { ByteWriter } from "./byte-writer.ts";
import { roughBytesOf, writePlaced } from "./placed-change.ts";
import type { TableBatch } from "./placed-change.ts";
import { Slice } from "./turn.ts";
import type { WriterAnswer, WriterCall, WriterOrder } from "./writer-messages.ts";

const file = new URL("./writer-worker.node.js", import.meta.url);

/** The thread that writes the tables of a store, as its owner sees it. It keeps the process alive only while it has something to do. */
export class WriterThread {
  readonly #worker: Worker;
  readonly #flags = watchedFlags();
  readonly #ended: Promise<void>;
  #failure: Error | undefined;
  #waiting: { resolve(answer: WriterAnswer): void; reject(error: Error): void } | undefined;
  /** Handed over with every batch, and back. */
  #buffer = new ArrayBuffer(1_048_576);

  /** Without it the tables are written where everything else is. */
  static get isPossible(): boolean {
    return canStartThread(file);
  }

  constructor(path: string) {
    const workerData: WriterOrder = { path, flags: this.#flags };
    const name = "federation tables";
    const worker = startThread(file, { name, workerData });
    this.#worker = worker;
    worker.unref();
    worker.on("message", (answer: WriterAnswer) => this.#waiting?.resolve(answer));
    worker.on("error", (error) => this.#fail(error));
    this.#ended = new Promise((resolve) => {
      worker.once("exit", (code) => {
        forgetFlags(this.#flags);
        this.#fail(new Error(`it ended with ${code}`));
        resolve();
      });
    });
  }

  /**
   * Applies the changes in one transaction. Resolves when it is on the disk, to the number of words of each change's content. One batch at
   * a time. Rejects when the thread fails, and then whenever it is asked again.
   */
  async apply(batch: TableBatch): Promise<Uint32Array> {
    const bytes = await this.#encode(batch);
    const answer = await this.#ask({ type: "apply", tenants: batch.tenants, bytes });
    if (answer.type === "failed") throw failureOf(answer);
    this.#buffer = answer.buffer;
    return answer.words;
  }

  /** Resolves when the thread has closed the tables and is gone. Not while it applies. */
  async close(): Promise<void> {
    this.#worker.ref();
    const call: WriterCall = { type: "close" };
    this.#worker.postMessage(call);
    await this.#ended;
  }

  /** Whether it is within a transaction. */
  get isWriting(): boolean {
    return isWorking(this.#flags);
  }

  async #encode({ changes }: TableBatch): Promise<Uint8Array<ArrayBuffer>> {
    const sizeBytes = changes.reduce((sum, placed) => sum + roughBytesOf(placed), 0);
    if (this.#buffer.byteLength < sizeBytes) this.#buffer = new ArrayBuffer(sizeBytes * 1.25);
    const writer = new ByteWriter(new Uint8Array(this.#buffer));
    const slice = new Slice();
    for (const placed of changes) {
      writePlaced(writer, placed);
      if (slice.isOver) await slice.rest();
    }
    return writer.finish();
  }

  async #ask(call: Extract<WriterCall, { type: "apply" }>): Promise<WriterAnswer> {
    this.#worker.ref();
    try {
      return await new Promise((resolve, reject) => {
        this.#waiting = { resolve, reject };
        if (this.#failure !== undefined) reject(this.#failure);
        else this.#worker.postMessage(call, [call.bytes.buffer]);
      });
    } finally {
      this.#waiting = undefined;
      this.#worker.unref();
    }
  }

  #fail(error: Error): void {
    this.#failure ??= new Error(`the thread that writes them ended: ${error.message}`, { cause: error });
    this.#waiting?.reject(this.#failure);
  }
}

function failureOf({ message, code }: Extract<WriterAnswer, { type: "failed" }>): Error {
  return code === "damaged" ? new FederationError(code, message) : new Error(message);
}
