/**
 * Does the work of one topic in order: what comes while something waits, waits behind it. Work that does not wait is
 * done at once, without a promise. Other lanes never notice.
 */
export class Lane<T> {
  readonly #work: (item: T) => void | Promise<void>;
  readonly #onIdle: () => void;
  readonly #waiting: T[] = [];
  #isBusy = false;

  /** `work` must not throw or reject: a lane has nobody to tell. */
  constructor(work: (item: T) => void | Promise<void>, onIdle: () => void) {
    this.#work = work;
    this.#onIdle = onIdle;
  }

  get isIdle(): boolean {
    return !this.#isBusy;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  push(item: T): void {
    if (this.#isBusy) {
      this.#waiting.push(item);
      return;
    }
    const pending = this.#work(item);
    if (pending === undefined) return;
    this.#isBusy = true;
    void this.#drain(pending);
  }

  async #drain(first: Promise<void>): Promise<void> {
    await first;
    for (let item = this.#waiting.shift(); item !== undefined; item = this.#waiting.shift())
      await this.#work(item);
    this.#isBusy = false;
    this.#onIdle();
  }
}
