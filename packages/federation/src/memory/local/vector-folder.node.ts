import { readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Log } from "../../runtime/log.ts";
import { SegmentedVectorIndex } from "../vectors/segments/segmented-vector-index.node.ts";
import type { SegmentedVectorIndexOptions } from "../vectors/segments/segmented-vector-index.node.ts";

/** When graphs are built, and by what; the defaults are those of `SegmentedVectorIndex`. */
export type GraphOptions = Pick<SegmentedVectorIndexOptions, "threshold" | "segmentRows" | "loadUsearch">;

/** Vectors of one dimension and of the model with this number; 0 is none. */
export interface KeptVectors {
  readonly dimensions: number;
  readonly model: number;
  readonly vectors: SegmentedVectorIndex;
}

const nameOfGroup = /^(\d{1,4})-(\d{1,10})$/;

/**
 * Where the vectors of a store have their graphs: `<tenant>/<dimensions>-<model>`, numbers as the tables have them. All of it can be built
 * again, and whether a row is the one that a graph knows is told by the row: a folder of another life is of no use, and does no harm.
 */
export class VectorFolder {
  readonly #folder: string;
  readonly #log: Log;
  readonly #graphs: GraphOptions;
  #lastBuild: Promise<unknown> = Promise.resolve();

  constructor(folder: string, { log, graphs = {} }: { log: Log; graphs?: GraphOptions | undefined }) {
    this.#folder = folder;
    this.#log = log;
    this.#graphs = graphs;
  }

  create(tenant: number, dimensions: number, model: number): SegmentedVectorIndex {
    return SegmentedVectorIndex.create(this.#options(tenant, dimensions, model));
  }

  /** What is on the disk of a tenant that knows so many models. What no model has is removed. */
  async open(tenant: number, models: number): Promise<KeptVectors[]> {
    const kept: KeptVectors[] = [];
    for (const name of await this.#namesOf(tenant)) {
      const [, dimensions, model] = nameOfGroup.exec(name)?.map(Number) ?? [];
      if (dimensions === undefined || model === undefined) continue; // not ours
      if (model > models) await this.#remove(join(String(tenant), name));
      else {
        const vectors = await SegmentedVectorIndex.open(this.#options(tenant, dimensions, model));
        kept.push({ dimensions, model, vectors });
      }
    }
    return kept;
  }

  #options(tenant: number, dimensions: number, model: number): SegmentedVectorIndexOptions {
    const folder = join(this.#folder, String(tenant), `${dimensions}-${model}`);
    return {
      ...this.#graphs,
      folder,
      dimensions,
      log: this.#log,
      inTurn: (build) => this.#inTurn(build),
    };
  }

  /** One thread builds at a time, whatever the number of tenants and models. */
  #inTurn(build: () => Promise<boolean>): Promise<boolean> {
    const built = this.#lastBuild.then(build);
    this.#lastBuild = built.catch(() => undefined);
    return built;
  }

  async #namesOf(tenant: number): Promise<string[]> {
    try {
      return await readdir(join(this.#folder, String(tenant)));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException; // readdir rejects with nothing else
      if (code !== "ENOENT") this.#log("error", "vector segments cannot be opened", { tenant, error });
      return [];
    }
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#folder, name), { recursive: true, force: true }).catch((error: unknown) =>
      this.#log("debug", "vector segments stay for now", { name, error }),
    );
  }
}
