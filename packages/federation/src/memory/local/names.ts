/** Small numbers for texts that many rows share; 0 is no text. */
export class Names {
  readonly #numbers = new Map<string, number>();
  readonly #texts: (string | null)[] = [null];

  /** How many numbers were given; they are given in order, without gaps. */
  get count(): number {
    return this.#texts.length - 1;
  }

  /** The number of the text, a new one where it has none. */
  give(text: string | null): number {
    if (text === null) return 0;
    const known = this.#numbers.get(text);
    if (known !== undefined) return known;
    this.#texts.push(text);
    this.#numbers.set(text, this.#texts.length - 1);
    return this.#texts.length - 1;
  }

  find(text: string): number | undefined {
    return this.#numbers.get(text);
  }

  text(number: number): string | null {
    return this.#texts[number] ?? null;
  }
}
