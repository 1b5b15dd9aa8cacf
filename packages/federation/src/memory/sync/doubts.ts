import { readIds, type Facts } from "./facts.ts";

/**
 * Ids of which this replica may hold something other than the server does, until they are read again: rows that were refused, or that
 * got another clock. Kept, since a crash must not forget them.
 */
export class Doubts {
  readonly #facts: Facts;
  /** When it was last doubted, so that a doubt that comes up while the id is being read stays. */
  readonly #ids = new Map<string, number>();
  #count = 0;

  constructor(facts: Facts) {
    this.#facts = facts;
    for (const id of readIds(facts, "doubt")) this.#ids.set(id, this.#count++);
  }

  get isEmpty(): boolean {
    return this.#ids.size === 0;
  }

  all(): ReadonlyMap<string, number> {
    return new Map(this.#ids);
  }

  /** Resolves when a crash would not forget it. */
  async add(ids: readonly string[]): Promise<void> {
    if (ids.length === 0) return;
    for (const id of ids) this.#ids.set(id, this.#count++);
    await this.#keep();
  }

  async resolved(doubts: ReadonlyMap<string, number>): Promise<void> {
    for (const [id, count] of doubts) if (this.#ids.get(id) === count) this.#ids.delete(id);
    await this.#keep();
  }

  async #keep(): Promise<void> {
    await this.#facts.writeFact("doubt", JSON.stringify([...this.#ids.keys()]));
  }
}
