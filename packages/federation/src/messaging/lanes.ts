/** Runs one task after the other for each key, and different keys beside each other. A task whose lane is free begins at once. */
export class Lanes {
  readonly #waiting = new Map<string, (() => Promise<void>)[]>();

  /** The task reports its own failures: what it throws ends nothing and is not told. */
  run(key: string, task: () => Promise<void>): void {
    const waiting = this.#waiting.get(key);
    if (waiting !== undefined) return void waiting.push(task);
    this.#waiting.set(key, []);
    void this.#drain(key, task);
  }

  async #drain(key: string, first: () => Promise<void>): Promise<void> {
    for (let task: (() => Promise<void>) | undefined = first; task !== undefined;) {
      await task().catch(() => {});
      task = this.#waiting.get(key)?.shift();
    }
    this.#waiting.delete(key);
  }
}
