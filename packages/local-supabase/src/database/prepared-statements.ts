/** A statement that Postgres keeps parsed, under a name. */
export interface PreparedStatement {
  readonly name: string;
  /** Postgres does not have it yet: parse it. */
  readonly isNew: boolean;
}

const mostKept = 200;
const longestKept = 20_000;

/**
 * Which statements of one connection are kept prepared: those that come a second time, the least recently used go first. Parsing and
 * planning is a third of what a small request costs. Postgres itself sees to it that a kept plan still fits role, policies, search
 * path and tables.
 */
export class PreparedStatements {
  /** By text, least recently used first. */
  readonly #names = new Map<string, string>();
  #seenOnce = new Set<string>();
  #stale: string[] = [];
  #count = 0;

  /** Undefined: not worth a name. */
  take(sql: string): PreparedStatement | undefined {
    if (sql.length > longestKept) return undefined;
    const known = this.#names.get(sql);
    if (known === undefined && this.#isFirstTime(sql)) return undefined;
    const name = known ?? `kept_${++this.#count}`;
    this.#names.delete(sql);
    this.#names.set(sql, name);
    if (this.#names.size > mostKept) this.#forgetOldest();
    return { name, isNew: known === undefined };
  }

  /** It failed before it is known to be there. */
  forget(sql: string): void {
    const name = this.#names.get(sql);
    if (name === undefined) return;
    this.#names.delete(sql);
    this.#stale.push(name);
  }

  /** Somebody deallocated them all. */
  forgetAll(): void {
    for (const sql of this.#names.keys()) this.forget(sql);
  }

  /** Names that Postgres may drop. Each is told once. */
  takeStale(): readonly string[] {
    return this.#stale.splice(0);
  }

  #isFirstTime(sql: string): boolean {
    if (this.#seenOnce.delete(sql)) return false;
    if (this.#seenOnce.size >= mostKept) this.#seenOnce = new Set();
    this.#seenOnce.add(sql);
    return true;
  }

  #forgetOldest(): void {
    const [oldest] = this.#names.keys();
    if (oldest !== undefined) this.forget(oldest);
  }
}
