import { eachWord } from "./words-of.ts";
import type { PostingChanges } from "./posting-list.ts";
import type { WordChange } from "./word-page.ts";

/** What was added to and removed from one shelf since the last flush. */
export class NotedWords {
  readonly #changes = new Map<string, number[]>();

  /** Answers how many words the content has. */
  add(place: number, content: string): number {
    let words = 0;
    eachWord(content, (word) => {
      words++;
      const changes = this.#changes.get(word);
      if (changes === undefined) this.#changes.set(word, [place, 1]);
      else if (changes.at(-2) === place) changes[changes.length - 1] = (changes.at(-1) ?? 0) + 1;
      else changes.push(place, 1);
    });
    return words;
  }

  remove(place: number, content: string): void {
    eachWord(content, (word) => {
      const changes = this.#changes.get(word);
      if (changes === undefined) this.#changes.set(word, [place, 0]);
      else if (changes.at(-2) === place) changes[changes.length - 1] = 0;
      else changes.push(place, 0);
    });
  }

  of(word: string): PostingChanges | undefined {
    return this.#changes.get(word);
  }

  /** Words that begin with `prefix` and are longer. */
  longerThan(prefix: string): Map<string, PostingChanges> {
    const longer = [...this.#changes].filter(
      ([word]) => word.length > prefix.length && word.startsWith(prefix),
    );
    return new Map(longer);
  }

  /** In the order of the words' UTF-8 bytes. */
  sorted(): WordChange[] {
    const words = [...this.#changes.keys()].sort();
    // The default order is by UTF-16 units, which is another one as soon as there are pairs of them.
    if (words.some((word) => /[\ud800-\udfff]/.test(word))) words.sort(byCodePoint);
    return words.map((word) => ({ word, changes: this.#changes.get(word) ?? [] }));
  }
}

/** UTF-8 bytes are in the order of code points; UTF-16 units are not: pairs stand for what comes after all single units. */
export function byCodePoint(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const difference = rank(a.charCodeAt(at)) - rank(b.charCodeAt(at));
    if (difference !== 0) return difference;
  }
  return a.length - b.length;
}

function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit < 0xe000 ? unit + 0x2000 : unit - 0x800;
}
