import type { SyncChange } from "./sync-state.ts";

const mostRemembered = 5_000;

/** What a process told last of each memory: the same once more is no news. Of the 5,000 told last. */
export class LastTold {
  readonly #versions = new Map<string, string>();

  has(id: string): boolean {
    return this.#versions.has(id);
  }

  /** Those of `changes` that say something else than what was told last; from now on they were. */
  news(changes: readonly SyncChange[]): readonly SyncChange[] {
    const news = changes.filter(({ change, row: { id, hlc, version } }) => {
      const said = `${change === "deleted"} ${version} ${hlc.ms} ${hlc.counter} ${hlc.writer}`;
      const isNews = this.#versions.get(id) !== said;
      this.#versions.delete(id);
      this.#versions.set(id, said);
      return isNews;
    });
    for (const oldest of this.#versions.keys()) {
      if (this.#versions.size <= mostRemembered) break;
      this.#versions.delete(oldest);
    }
    return news;
  }
}
