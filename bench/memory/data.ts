/** What every engine is given: the same seeded vectors, texts and owners. */

/** Numbers from 0 below 1, the same for the same seed. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A mixture of Gaussians, as many as the root of what is drawn: texts about the same thing lie together. Queries are drawn like rows. */
export class Mixture {
  readonly dimensions: number;
  readonly #random: () => number;
  readonly #centres: Float32Array;
  readonly #clusters: number;
  #spare: number | undefined;

  constructor({ dimensions, rows, seed }: { dimensions: number; rows: number; seed: number }) {
    this.dimensions = dimensions;
    this.#random = seededRandom(seed);
    this.#clusters = Math.ceil(Math.sqrt(rows));
    this.#centres = new Float32Array(this.#clusters * dimensions).map(() => this.#normal());
  }

  /** The next vector, into `target` or a new one. */
  draw(target: Float32Array = new Float32Array(this.dimensions)): Float32Array {
    const from = Math.floor(this.#random() * this.#clusters) * this.dimensions;
    for (let at = 0; at < this.dimensions; at++)
      target[at] = (this.#centres[from + at] ?? 0) + spread * this.#normal();
    return target;
  }

  /** Box and Muller's two at a time. */
  #normal(): number {
    const spare = this.#spare;
    if (spare !== undefined) {
      this.#spare = undefined;
      return spare;
    }
    const radius = Math.sqrt(-2 * Math.log(1 - this.#random()));
    const angle = 2 * Math.PI * this.#random();
    this.#spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }
}

const spread = 0.35;

/** Whose the row is: one of a hundred is the first's, one of ten the second's, the others are those of 50 more. */
export function ownerOf(row: number): string {
  if (row % 100 === 0) return owners.hundredth;
  if (row % 10 === 1) return owners.tenth;
  return `agent-${row % 50}`;
}

export const owners = { hundredth: "one-percent", tenth: "ten-percent" } as const;

export const idOf = (row: number): string => `memory-${String(row).padStart(8, "0")}`;

/** A dozen words, some of them common. */
export function contentOf(row: number): string {
  const random = seededRandom(row);
  const word = (): string => `word${Math.floor(5_000 * random() ** 3)}`;
  return Array.from({ length: 12 }, word).join(" ");
}
