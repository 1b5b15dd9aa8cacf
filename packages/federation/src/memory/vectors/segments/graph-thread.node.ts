import type { Worker } from "node:worker_threads";
import { startThread } from "../../../runtime/start-thread.node.ts";
import { forgetFlags, watchedFlags } from "../../../runtime/unbroken-work.node.ts";
import type { GraphAnswer, GraphCall, GraphOrder } from "./graph-messages.ts";
import type { SearchGraph } from "./segment.ts";
import type { GraphFile } from "./usearch.node.ts";

type Resolve = (slots: Uint32Array | undefined) => void;

/**
 * A graph too large for the event loop, mapped and searched in a thread of its own. What is asked before the file is mapped waits for that.
 * The thread keeps the process alive only while it has something to answer.
 */
export class GraphThread implements SearchGraph {
  readonly #worker: Worker;
  readonly #ended: Promise<void>;
  /** Questions are answered in the order in which they were asked. */
  readonly #waiting: Resolve[] = [];
  #isOver = false;

  /** `onFailure` is called once if the thread ends before `close`: from then on nothing is found. */
  constructor(graphFile: GraphFile, onFailure: (error: Error) => void) {
    const flags = watchedFlags();
    const order: GraphOrder = { ...graphFile, flags };
    const file = new URL("./graph-worker.node.js", import.meta.url);
    const worker = startThread(file, { name: "federation graph", workerData: order });
    this.#worker = worker;
    let failure: Error | undefined;
    worker.on("message", (slots: GraphAnswer) => this.#answer(slots));
    worker.on("error", (error) => (failure = error));
    this.#ended = new Promise((resolve) => {
      worker.once("exit", (code) => {
        forgetFlags(flags);
        if (!this.#isOver) onFailure(failure ?? new Error(`the thread ended with ${code}`));
        this.#isOver = true;
        for (const answer of this.#waiting.splice(0)) answer(undefined);
        resolve();
      });
    });
    worker.unref();
  }

  search(query: Int8Array, count: number): Promise<Uint32Array | undefined> {
    if (this.#isOver) return Promise.resolve(undefined);
    return new Promise((resolve) => {
      if (this.#waiting.push(resolve) === 1) this.#worker.ref();
      this.#send({ type: "search", query, count });
    });
  }

  /** What was asked before is answered. */
  async close(): Promise<void> {
    if (!this.#isOver) {
      this.#isOver = true;
      this.#worker.ref();
      this.#send({ type: "close" });
    }
    await this.#ended;
  }

  #send(call: GraphCall): void {
    this.#worker.postMessage(call);
  }

  #answer(slots: GraphAnswer): void {
    this.#waiting.shift()?.(slots);
    if (this.#waiting.length === 0 && !this.#isOver) this.#worker.unref();
  }
}
