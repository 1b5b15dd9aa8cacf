/**
 * Lets so many work at a time, and the others when their turn comes, in the order in which they asked. Who gives up meanwhile takes its
 * place with it, so that nobody waits behind what nobody waits for.
 */
export class Turns {
  readonly #atOnce: number;
  readonly #waiting = new Set<() => void>();
  #working = 0;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Undefined, and `task` was not run, where the signal aborted before its turn. */
  async take<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T | undefined> {
    if (this.#working < this.#atOnce) this.#working++;
    else if (!(await this.#turn(signal))) return undefined;
    try {
      return signal?.aborted === true ? undefined : await task();
    } finally {
      this.#pass();
    }
  }

  #turn(signal: AbortSignal | undefined): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (isMine: boolean): void => {
        this.#waiting.delete(begin);
        signal?.removeEventListener("abort", giveUp);
        resolve(isMine);
      };
      const begin = (): void => end(true);
      const giveUp = (): void => end(false);
      if (signal?.aborted === true) return resolve(false);
      this.#waiting.add(begin);
      signal?.addEventListener("abort", giveUp, { once: true });
    });
  }

  #pass(): void {
    const [next] = this.#waiting;
    if (next === undefined) this.#working--;
    else next();
  }
}
