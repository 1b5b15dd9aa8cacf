import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { contentOf, idOf, Mixture, ownerOf, owners } from "./data.ts";
import type { BenchRow } from "./engines/engine.ts";

export interface Truth {
  /** Ids of the nearest ten of all rows, and of those of one owner, for each query. */
  readonly all: readonly (readonly string[])[];
  readonly hundredth: readonly (readonly string[])[];
  readonly tenth: readonly (readonly string[])[];
}

/** Vectors and queries on the disk, and what is true of them: computed once, in float64, and used by every engine. */
export class Dataset {
  readonly dimensions: number;
  readonly rows: number;
  readonly queries: readonly Float32Array[];
  readonly truth: Truth;
  readonly #folder: string;

  private constructor(folder: string, { dimensions, rows }: { dimensions: number; rows: number }) {
    this.dimensions = dimensions;
    this.rows = rows;
    this.#folder = folder;
    const bytes = readFileSync(join(folder, "queries.f32"));
    const numbers = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
    this.queries = Array.from({ length: numbers.length / dimensions }, (_, at) =>
      numbers.slice(at * dimensions, (at + 1) * dimensions),
    );
    this.truth = JSON.parse(readFileSync(join(folder, "truth.json"), "utf8")) as Truth; // written below
  }

  static open(root: string, size: { dimensions: number; rows: number }): Dataset {
    return new Dataset(folderOf(root, size), size);
  }

  /** Makes it where it is not there yet. */
  static prepare(
    root: string,
    size: { dimensions: number; rows: number },
    say: (line: string) => void,
  ): void {
    const folder = folderOf(root, size);
    if (existsSync(join(folder, contentsFile))) return;
    rmSync(folder, { recursive: true, force: true });
    const { dimensions, rows } = size;
    const room = statfsSync(root);
    const needed = rows * dimensions * 4 * 4;
    if (room.bavail * room.bsize < needed)
      throw new Error(`${rows} × ${dimensions} needs ${Math.ceil(needed / 1e9)} GB in ${root}`);
    say(
      `${rows.toLocaleString("en-US")} × ${dimensions}: drawing vectors, comparing all of them with the queries`,
    );
    const part = `${folder}.part`;
    mkdirSync(part, { recursive: true });
    const mixture = new Mixture({ dimensions, rows, seed: dimensions });
    const queries = Array.from({ length: queryCount(rows) }, () => mixture.draw());
    const best = queries.map((query) => new Nearest(query));
    const file = openSync(join(part, vectorsFile), "w");
    const contents = openSync(join(part, contentsFile), "w");
    for (let from = 0; from < rows; from += 1_000) {
      const to = Math.min(rows, from + 1_000);
      const block = new Float32Array((to - from) * dimensions);
      for (let row = from; row < to; row++) {
        const vector = mixture.draw(block.subarray((row - from) * dimensions, (row - from + 1) * dimensions));
        for (const each of best) each.offer(row, vector);
      }
      writeSync(file, block);
      const lines = Array.from({ length: to - from }, (_, at) => contentOf(from + at).padEnd(contentBytes));
      writeSync(contents, lines.join(""));
    }
    closeSync(file);
    closeSync(contents);
    writeFileSync(join(part, "queries.f32"), Buffer.concat(queries.map(({ buffer }) => Buffer.from(buffer))));
    const truth: Truth = {
      all: best.map((each) => each.all.ids()),
      hundredth: best.map((each) => each.hundredth.ids()),
      tenth: best.map((each) => each.tenth.ids()),
    };
    writeFileSync(join(part, "truth.json"), JSON.stringify(truth));
    renameSync(part, folder);
  }

  /** Batches of rows, read from the disk as they are wanted: making them would hold the event loop longer than what is measured. */
  *batches(size: number): Generator<BenchRow[]> {
    const file = openSync(join(this.#folder, vectorsFile), "r");
    const contents = openSync(join(this.#folder, contentsFile), "r");
    try {
      for (let from = 0; from < this.rows; from += size) {
        const count = Math.min(size, this.rows - from);
        const block = new Float32Array(count * this.dimensions);
        readSync(file, block, 0, block.byteLength, from * this.dimensions * 4);
        const lines = Buffer.alloc(count * contentBytes);
        readSync(contents, lines, 0, lines.length, from * contentBytes);
        yield Array.from({ length: count }, (_, at) => ({
          id: idOf(from + at),
          owner: ownerOf(from + at),
          content: lines.toString("latin1", at * contentBytes, (at + 1) * contentBytes).trimEnd(),
          vector: block.subarray(at * this.dimensions, (at + 1) * this.dimensions),
        }));
      }
    } finally {
      closeSync(file);
      closeSync(contents);
    }
  }
}

const vectorsFile = "vectors.f32";
const contentsFile = "contents.txt";
/** Of a text of a dozen words of at most eight letters, filled up with spaces. */
const contentBytes = 112;

const folderOf = (root: string, { dimensions, rows }: { dimensions: number; rows: number }): string =>
  join(root, `${rows}x${dimensions}`);

/** An exact answer among a million takes a third of a second. */
const queryCount = (rows: number): number => (rows > 200_000 ? 200 : 500);

class Nearest {
  readonly all = new BestTen();
  readonly hundredth = new BestTen();
  readonly tenth = new BestTen();
  readonly #query: Float32Array;

  constructor(query: Float32Array) {
    this.#query = query;
  }

  offer(row: number, vector: Float32Array): void {
    const query = this.#query;
    let dot = 0;
    let square = 0;
    for (let at = 0; at < vector.length; at++) {
      const value = vector[at] ?? 0;
      dot += value * (query[at] ?? 0);
      square += value * value;
    }
    const score = dot / Math.sqrt(square);
    this.all.offer(row, score);
    const owner = ownerOf(row);
    if (owner === owners.hundredth) this.hundredth.offer(row, score);
    else if (owner === owners.tenth) this.tenth.offer(row, score);
  }
}

class BestTen {
  readonly #best: { readonly row: number; readonly score: number }[] = [];

  offer(row: number, score: number): void {
    const best = this.#best;
    if (best.length === 10 && score <= (best[9]?.score ?? 0)) return;
    const at = best.findIndex((other) => other.score < score);
    best.splice(at < 0 ? best.length : at, 0, { row, score });
    if (best.length > 10) best.pop();
  }

  ids(): string[] {
    return this.#best.map(({ row }) => idOf(row));
  }
}
