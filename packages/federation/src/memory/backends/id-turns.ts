/** Lets those who want the same id go one after the other, in the order in which they came, and everybody else at once. */
export class IdTurns {
  readonly #last = new Map<string, Promise<void>>();

  async take<T>(ids: Iterable<string>, task: () => Promise<T>): Promise<T> {
    let done: () => void = () => undefined;
    const mine = new Promise<void>((resolve) => (done = resolve));
    const before: Promise<void>[] = [];
    const wanted = ids instanceof Set ? (ids as ReadonlySet<string>) : new Set(ids);
    for (const id of wanted) {
      const last = this.#last.get(id);
      if (last !== undefined) before.push(last);
      this.#last.set(id, mine);
    }
    try {
      if (before.length > 0) await Promise.all(before);
      return await task();
    } finally {
      for (const id of wanted) if (this.#last.get(id) === mine) this.#last.delete(id);
      done();
    }
  }
}
