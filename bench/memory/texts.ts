import { seededRandom } from "./data.ts";

/** Seeded texts of sixty words, as often each as words are in a language: the nth about 1/n times as often as the first. */
export class Texts {
  readonly #vocabulary: readonly string[] = Array.from({ length: vocabularySize }, (_, at) => wordOf(at));
  /** Up to which number of `total` each word is drawn. */
  readonly #bounds: Float64Array;
  readonly #random = seededRandom(3);

  constructor() {
    let total = 0;
    this.#bounds = Float64Array.from({ length: vocabularySize }, (_, at) => (total += 1 / (at + 1)));
  }

  next(): string {
    return Array.from({ length: wordsOfText }, () => this.#vocabulary[this.#draw()]).join(" ");
  }

  /** What is looked for, each many times. */
  queries(): { readonly name: string; readonly texts: readonly string[] }[] {
    const word = (at: number): string => this.#vocabulary[at] ?? "";
    const each = (make: (n: number) => string): string[] => Array.from({ length: 50 }, (_, n) => make(n));
    return [
      { name: "a word of most texts", texts: each((n) => `${word(n % 3)} `) },
      { name: "a word of one text in fifty", texts: each((n) => word(250 + n)) },
      { name: "a rare word", texts: each((n) => word(40_000 + n)) },
      { name: "three words", texts: each((n) => `${word(n)} ${word(300 + n)} ${word(5_000 + n)}`) },
      { name: "the beginning of a word", texts: each((n) => word(100 + n).slice(0, 2)) },
    ];
  }

  #draw(): number {
    const wanted = this.#random() * (this.#bounds.at(-1) ?? 1);
    let [low, high] = [0, vocabularySize - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#bounds[middle] ?? 0) < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

const vocabularySize = 60_000;
const wordsOfText = 60;

/** Different for each number, and alike in their beginnings as words are. */
function wordOf(at: number): string {
  let word = "";
  for (let rest = at + 20; rest > 0; rest = Math.floor(rest / 20)) word = (syllables[rest % 20] ?? "") + word;
  return word;
}

const syllables = "ba ce di fo gu ha je ki lo mu na pe ri so tu va we xi yo zu".split(" ");
