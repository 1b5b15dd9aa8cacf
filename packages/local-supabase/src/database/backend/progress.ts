/**
 * Two numbers that the worker writes and the main thread reads while the worker is deaf inside a statement: the request
 * it works on (0: none), and a counter that moves with every statement begun or ended.
 */
export class Progress {
  readonly shared: SharedArrayBuffer;
  readonly #cells: Int32Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(8)) {
    this.shared = shared;
    this.#cells = new Int32Array(shared);
  }

  get request(): number {
    return Atomics.load(this.#cells, 0);
  }

  get steps(): number {
    return Atomics.load(this.#cells, 1);
  }

  /** After a worker that ended in the middle of something. */
  clear(): void {
    Atomics.store(this.#cells, 0, 0);
  }

  step(): void {
    Atomics.add(this.#cells, 1, 1);
  }

  /** Names the request for as long as `task` takes. */
  async during<T>(request: number, task: () => Promise<T>): Promise<T> {
    Atomics.store(this.#cells, 0, request);
    this.step();
    try {
      return await task();
    } finally {
      Atomics.store(this.#cells, 0, 0);
    }
  }
}
