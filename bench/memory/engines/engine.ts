import { createRequire } from "node:module";
import { join } from "node:path";

export interface BenchRow {
  readonly id: string;
  readonly owner: string;
  readonly content: string;
  readonly vector: Float32Array;
}

/** What every engine can do. Ids are those of the rows. */
export interface Engine {
  /** Resolves when the engine says that the rows are stored, whatever it means by it. */
  insert(rows: readonly BenchRow[]): Promise<void>;
  /** Ids of the nearest, best first; the rows themselves were read. `owner` narrows. */
  search(query: Float32Array, count: number, owner?: string): Promise<readonly string[]>;
  /** Builds what an engine builds when told to. */
  finish?(): Promise<void>;
  /** Resolves, after an opening, when nothing more is built in the background, to what was: of our own store only. */
  built?(): Promise<Graphs>;
  close(): Promise<void>;
}

export interface Graphs {
  /** How many rows each has; none, and everything is compared. */
  readonly segments: readonly number[];
  /** In none of them. */
  readonly rowsInTail: number;
}

export interface Place {
  /** Empty, or what an engine of this name left. */
  readonly folder: string;
  readonly dimensions: number;
  readonly isNew: boolean;
  /** Where peers are installed: `<folder>/<package>`. */
  readonly peers: string;
  /** A database of its own, for pgvector. */
  readonly databaseUrl?: string | undefined;
  /** What our own store promises. */
  readonly durability?: "process" | "power" | undefined;
}

export type OpenEngine = (place: Place) => Promise<Engine>;

/** Loads a package from where the peers are. The caller knows its shape: the version is pinned. */
export function peer<T>({ peers }: Pick<Place, "peers">, name: string): T {
  return createRequire(join(peers, name.replace("/", "+"), "package.json"))(name) as T;
}

export function filePath({ peers }: Pick<Place, "peers">, name: string, file: string): string {
  return join(peers, name.replace("/", "+"), "node_modules", name, file);
}
