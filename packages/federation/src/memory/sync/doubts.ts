import { readIds, type Facts } from "./facts.ts";

/**
 * Ids of which this replica may hold something other than the server does, until they are read again: rows that were refused, or that
 * got another clock. Kept, since a crash must not forget them.
 */
export class Doubts {
  readonly #facts: Facts;
  /** When it was last doubted, so that a doubt that comes up while the id is being read stays. */
  readonly #ids = new Map<string, number>();
  /** What is about to be doubted: kept already, and not read yet. */
  readonly #coming: string[] = [];
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

  /**
   * Doubts `ids` once `change` has ended, and after a crash in the middle of it too. Not before: whoever read them again while an entry
   * of theirs is still to be pushed would leave it as it is, and the doubt would be gone.
   */
  async after(ids: readonly string[], change: () => Promise<unknown>): Promise<void> {
    this.#coming.push(...ids);
    if (ids.length > 0) await this.#keep();
    await change();
    for (const id of ids) {
      this.#coming.splice(this.#coming.indexOf(id), 1);
      this.#ids.set(id, this.#count++);
    }
  }

  async resolved(doubts: ReadonlyMap<string, number>): Promise<void> {
    for (const [id, count] of doubts) if (this.#ids.get(id) === count) this.#ids.delete(id);
    await this.#keep();
  }

  async #keep(): Promise<void> {
    await this.#facts.writeFact(
      "doubt",
      JSON.stringify([...new Set([...this.#ids.keys(), ...this.#coming])]),
    );
  }
}
