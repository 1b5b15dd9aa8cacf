import type { Worker } from "node:worker_threads";
import { FederationError } from "../../runtime/errors.ts";
import { canStartThread, startThread } from "../../runtime/start-thread.node.ts";
import { forgetFlags, isWorking, watchedFlags } from "../../runtime/unbroken-work.node.ts";
import { ByteWriter } from "./byte-writer.ts";
import { roughBytesOf, writePlaced } from "./placed-change.ts";
import type { TableBatch } from "./placed-change.ts";
import { Slice } from "./turn.ts";
import type { WriterAnswer, WriterCall, WriterOrder } from "./writer-messages.ts";

const writerFile = new URL("./writer-worker.node.js", import.meta.url);

/**
 * The thread that writes tables: one for all stores of a process, from the first that needs it until the process ends, which it keeps alive only
 * while it has something to do. When it fails, so do the stores that use it, and the next to be opened gets another.
 */
export class WriterThread {
  static #ofProcess: WriterThread | undefined;
  readonly #worker: Worker;
  readonly #flags = watchedFlags();
  /** By store. */
  readonly #asked = new Map<number, { resolve(answer: WriterAnswer): void; reject(error: Error): void }>();
  #failure: Error | undefined;

  /** Without it tables are written where everything else is. */
  static get isPossible(): boolean {
    return canStartThread(writerFile);
  }

  static get isRunning(): boolean {
    return WriterThread.#ofProcess !== undefined;
  }

  static get ofProcess(): WriterThread {
    return (WriterThread.#ofProcess ??= new WriterThread());
  }

  constructor(file: URL = writerFile) {
    const workerData: WriterOrder = { flags: this.#flags };
    const worker = startThread(file, { name: "federation tables", workerData });
    this.#worker = worker;
    worker.unref();
    worker.on("message", (answer: WriterAnswer) => this.#asked.get(answer.store)?.resolve(answer));
    worker.on("error", (error) => this.#fail(error));
    worker.once("exit", (code) => {
      forgetFlags(this.#flags);
      this.#fail(new Error(`it ended with ${code}`));
    });
  }

  /** Whether it is within a transaction. */
  get isWriting(): boolean {
    return isWorking(this.#flags);
  }

  /** Rejects when the thread fails, and then whenever it is asked again. One call of a store at a time. */
  async ask(call: WriterCall, moved: ArrayBuffer[] = []): Promise<WriterAnswer> {
    if (this.#failure !== undefined) throw this.#failure;
    this.#worker.ref();
    try {
      return await new Promise((resolve, reject) => {
        this.#asked.set(call.store, { resolve, reject });
        this.#worker.postMessage(call, moved);
      });
    } finally {
      this.#asked.delete(call.store);
      if (this.#asked.size === 0) this.#worker.unref();
    }
  }

  #fail(error: Error): void {
    this.#failure ??= new Error(`the thread that writes them ended: ${error.message}`, { cause: error });
    if (WriterThread.#ofProcess === this) WriterThread.#ofProcess = undefined;
    for (const asked of this.#asked.values()) asked.reject(this.#failure);
  }
}

let lastStore = 0;

/** The tables of one store, as they are written by a thread. */
export class TablesInThread {
  readonly #store = ++lastStore;
  readonly #path: string;
  readonly #thread: WriterThread;
  /** Handed over with every batch, and back. */
  #buffer = new ArrayBuffer(1_048_576);

  constructor(path: string, thread: WriterThread = WriterThread.ofProcess) {
    this.#path = path;
    this.#thread = thread;
  }

  /**
   * Applies the changes in one transaction. Resolves when it is on the disk, to the number of words of each change's content. One batch at
   * a time.
   */
  async apply(batch: TableBatch): Promise<Uint32Array> {
    const bytes = await this.#encode(batch);
    const { tenants } = batch;
    const call: WriterCall = { type: "apply", store: this.#store, path: this.#path, tenants, bytes };
    const answer = await this.#thread.ask(call, [bytes.buffer]);
    if (answer.type === "failed") throw failureOf(answer);
    if (answer.type !== "applied") throw new TypeError(`table writer: ${answer.type} is no answer to apply`);
    this.#buffer = answer.buffer;
    return answer.words;
  }

  /** Resolves when the thread has closed the tables, or is gone. Not while it applies. */
  async close(): Promise<void> {
    await this.#thread.ask({ type: "close", store: this.#store }).catch(() => {}); // then they are closed, too
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
}

function failureOf({ message, code }: Extract<WriterAnswer, { type: "failed" }>): Error {
  return code === "damaged" ? new FederationError(code, message) : new Error(message);
}
