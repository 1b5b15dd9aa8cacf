import { silentLog, type Log } from "../../../runtime/log.ts";
import { toError } from "../../../runtime/errors.ts";
import { createVectorIndex, type ExactVectorIndex, type VectorIndexOptions } from "../create-vector-index.ts";
import { quantiseBytes } from "../quantise.ts";
import { turns as turnsOfProcess, type Turns } from "../../turns.ts";
import type { Candidates, VectorIndex } from "../vector-index.ts";
import { buildSegment } from "./build-segment.node.ts";
import { isByChance, sampleSize, sampleSlots } from "./by-chance.ts";
import { GraphThread } from "./graph-thread.node.ts";
import {
  buildLimits,
  isLarge,
  planBuild,
  planLarge,
  type BuildLimits,
  type BuildPlan,
} from "./plan-build.ts";
import { RowsToSeal } from "./rows-to-seal.ts";
import { isSealedIn, propose, type SearchGraph, type Segment } from "./segment.ts";
import {
  listSegments,
  readSegment,
  removeLeftovers,
  removeSegment,
  segmentPaths,
} from "./segment-files.node.ts";
import { nowhere, SlotHomes, tail } from "./slot-homes.ts";
import { union } from "./union.ts";
import { WritePace, writesBetweenLooks } from "./write-pace.ts";
import { loadUsearch, openGraph, type CreateGraph, type GraphFile } from "./usearch.node.ts";

export interface SegmentedVectorIndexOptions {
  /** Of this index alone, one a dimension and model; made when the first segment is built. All in it can be built again. */
  readonly folder: string;
  readonly dimensions: number;
  /** From so many vectors on graphs are built, where `usearch` is installed; default 50,000. */
  readonly threshold?: number;
  /** A graph that is searched on the event loop is made of about so many; default 50,000. Four times as many get a large one, with a thread. */
  readonly segmentRows?: number;
  readonly log?: Log;
  /** The optional package; undefined where it is missing. */
  readonly loadUsearch?: () => CreateGraph | undefined;
  /** Opens a segment that is too large for the event loop; default in a thread. */
  readonly openLarge?: (file: GraphFile, onFailure: (error: Error) => void) => SearchGraph;
  readonly exact?: Omit<VectorIndexOptions, "turns">;
  readonly turns?: Turns;
  /** Runs one build after the other where several indexes share the machine. */
  readonly inTurn?: (build: () => Promise<boolean>) => Promise<boolean>;
  /** When large graphs may be built; default by the time. */
  readonly pace?: WritePace;
}

/** And after a build failed: a full disk is not asked again and again. */
const writesAfterFailure = 50_000;
const mostPlaces = 254;
/** What a graph takes while it is built, and on the disk: some 150 bytes a row beside the vector. Larger ones find less. */
const mostGraphBytes = 2 ** 28;
/** A millisecond or less. */
const slotsAtOnce = 4_096;
/** A search begins anew where segments came or went while it asked them, so often. */
const mostAttempts = 3;

/**
 * A `VectorIndex` that stays quick beyond a hundred thousand vectors. All vectors are in memory as in `createVectorIndex`; the older ones are
 * also in sealed graphs on the disk, which propose candidates. What was written since a graph was sealed is the tail, and is compared row by
 * row. Every candidate is scored by the vector that its slot has now, so a graph can miss a candidate and never be wrong about one. Where
 * what it proposes is no better than chance, the query is compared with everything.
 *
 * A store uses it like this:
 *
 * 1. `const index = await SegmentedVectorIndex.open({ folder, dimensions })`: tests and maps the graphs; damaged ones are removed.
 * 2. `index.setEncoded(slot, bytes)` for every vector it keeps, with the slots they had: a row that is as it was sealed is found by its graph
 *    again, any other is in the tail.
 * 3. `index.startBuilding()`, once: from now on graphs are built in a thread when they are due.
 * 4. `set`, `setEncoded`, `remove`, `nearest` as ever; with `among` every search is exact. What must not be found without `among`, such as
 *    what a tombstone or a later memory hides, is removed.
 * 5. `await index.close()`: ends a build that runs. Deleting the folder of a closed index costs nothing but the time to build again.
 */
export class SegmentedVectorIndex implements VectorIndex {
  readonly dimensions: number;
  readonly #folder: string;
  readonly #log: Log;
  readonly #limits: BuildLimits;
  readonly #turns: Turns;
  readonly #exact: ExactVectorIndex;
  readonly #createGraph: CreateGraph | undefined;
  readonly #openLarge: (file: GraphFile, onFailure: (error: Error) => void) => SearchGraph;
  readonly #inTurn: (build: () => Promise<boolean>) => Promise<boolean>;
  readonly #pace: WritePace;
  readonly #homes = new SlotHomes();
  readonly #stop = new AbortController();
  /** The newest first. */
  #segments: readonly Segment[] = [];
  #lastNumber = 0;
  /** Until a thread that had one failed. */
  #hasLarge = true;
  #toSeal: RowsToSeal | undefined;
  /** Slots are on their way to a new segment. */
  #isMoving = false;
  #running: Promise<void> | undefined;
  /** A large graph is due. */
  #isPostponed = false;
  /** Undefined until building was started. */
  #writesUntilLook: number | undefined;

  private constructor(options: SegmentedVectorIndexOptions, createGraph: CreateGraph | undefined) {
    const { folder, dimensions, threshold = 50_000, segmentRows, log = silentLog } = options;
    const { turns = turnsOfProcess, inTurn = (build) => build(), pace = new WritePace() } = options;
    this.dimensions = dimensions;
    this.#folder = folder;
    this.#log = log;
    this.#limits = buildLimits(threshold, segmentRows, Math.ceil(mostGraphBytes / (dimensions + 150)));
    this.#turns = turns;
    this.#exact = createVectorIndex(dimensions, { ...options.exact, turns });
    this.#createGraph = createGraph;
    this.#openLarge = options.openLarge ?? ((file, onFailure) => new GraphThread(file, onFailure));
    this.#inTurn = inTurn;
    this.#pace = pace;
  }

  /** For vectors of which nothing was kept: it does not look into the folder. */
  static create(options: SegmentedVectorIndexOptions): SegmentedVectorIndex {
    return new SegmentedVectorIndex(options, (options.loadUsearch ?? loadUsearch)());
  }

  /** Never fails for what is in the folder: a graph that cannot be used is logged and done without. */
  static async open(options: SegmentedVectorIndexOptions): Promise<SegmentedVectorIndex> {
    const index = SegmentedVectorIndex.create(options);
    try {
      await index.#openSegments();
    } catch (error) {
      index.#log("error", "vector segments cannot be opened", { folder: options.folder, error });
    }
    return index;
  }

  get size(): number {
    return this.#exact.size;
  }

  /** What is where, for statistics and tests. */
  get parts(): { readonly tail: number; readonly segments: readonly { rows: number; live: number }[] } {
    const segments = this.#segments.map(({ rows, place }) => ({ rows, live: this.#homes.count(place) }));
    return { tail: this.#homes.count(tail), segments };
  }

  set(slot: number, vector: Float32Array): void {
    this.setEncoded(slot, this.encode(vector));
  }

  setEncoded(slot: number, encoded: Uint8Array): void {
    this.#exact.setEncoded(slot, encoded);
    const home = this.#segments.find((segment) => isSealedIn(segment, slot, encoded))?.place ?? tail;
    this.#homes.put(slot, home);
    this.#toSeal?.written(slot, encoded);
    this.#countWrite();
  }

  encode(vector: Float32Array, into?: Uint8Array): Uint8Array {
    return this.#exact.encode(vector, into);
  }

  remove(slot: number): void {
    this.#exact.remove(slot);
    this.#homes.put(slot, nowhere);
    this.#toSeal?.removed(slot);
    this.#countWrite();
  }

  async nearest(
    query: Float32Array,
    count: number,
    options: { among?: Uint32Array; signal?: AbortSignal } = {},
  ): Promise<Candidates> {
    const isGraphOfUse = this.#segments.length > 0 && this.#homes.count(tail) * 2 < this.size;
    if (options.among !== undefined || !isGraphOfUse || query.length !== this.dimensions)
      return this.#exact.nearest(query, count, options);
    options.signal?.throwIfAborted();
    if (this.#turns.isOver()) await this.#turns.next();
    const proposed = await this.#propose(query, count);
    options.signal?.throwIfAborted();
    if (proposed === undefined) return this.#exact.nearest(query, count, options);
    const among = union(proposed, this.#homes.tailSlots());
    const found = await this.#exact.nearest(query, count, { ...options, among });
    return (await this.#isByChance(query, count, found)) ? this.#exact.nearest(query, count, options) : found;
  }

  /** Called once, when the vectors of the store have been put in: before that, all graphs would seem out of date. */
  startBuilding(): void {
    this.#writesUntilLook ??= 0;
    this.#countWrite();
  }

  /** Builds what is due now, and resolves when nothing is, or when it failed, which is logged. Building goes on without this call. */
  async buildIfDue(): Promise<void> {
    await (this.#running ?? this.#run(true));
    if (this.#isPostponed) await this.#run(true);
  }

  /** Resolves when no thread runs any more. A segment that was being built is given up. */
  async close(): Promise<void> {
    this.#stop.abort(new Error("the vector index was closed"));
    this.#pace.stop();
    await this.#running;
    const segments = this.#segments;
    this.#segments = [];
    await Promise.all(segments.map(({ graph }) => graph.close()));
  }

  async #isByChance(query: Float32Array, count: number, { scores }: Candidates): Promise<boolean> {
    const among = sampleSlots(this.#exact.slotsEnd);
    const { scores: sample } = await this.#exact.nearest(query, sampleSize, { among });
    return isByChance(scores.at(-1) ?? -1, { sample, count, rows: this.size });
  }

  async #propose(query: Float32Array, count: number): Promise<Uint32Array | undefined> {
    const bytes = new Int8Array(this.dimensions);
    quantiseBytes(query, bytes);
    for (let attempt = 1; attempt <= mostAttempts; attempt++) {
      const segments = this.#segments;
      const rows = this.size - this.#homes.count(tail);
      const before = this.#isMoving ? this.#homes.tailSlots().slice() : new Uint32Array(0);
      const asked = { query: bytes, count, rows, homes: this.#homes };
      // Threads look while this one does.
      const inThreads = segments.filter(({ graph }) => graph instanceof GraphThread);
      const others = segments.filter((segment) => !inThreads.includes(segment));
      const some = await Promise.all([...inThreads, ...others].map((segment) => propose(segment, asked)));
      if (this.#segments !== segments) continue; // what a new one has is no longer in the tail
      return some.reduce<Uint32Array | undefined>((all, each) => all && each && union(all, each), before);
    }
    return undefined;
  }

  #countWrite(): void {
    if (this.#writesUntilLook === undefined) return;
    this.#writesUntilLook -= 1;
    if (this.#writesUntilLook % writesBetweenLooks === 0) this.#pace.looked();
    if (this.#writesUntilLook > 0 || this.#running !== undefined) return;
    this.#writesUntilLook = writesBetweenLooks;
    void this.#run();
  }

  /** `isEager`: large graphs, too, while many writes come. They take the processor that those want, and bring rows together that have graphs already. */
  #run(isEager = false): Promise<void> {
    this.#running ??= this.#buildWhileDue(isEager).finally(() => (this.#running = undefined));
    return this.#running;
  }

  async #buildWhileDue(isEager: boolean): Promise<void> {
    const mayBeLarge = (): boolean => isEager || !this.#pace.isQuick;
    while (this.#planNow(mayBeLarge()) !== undefined) {
      // Others may have been before us: what is due is decided anew.
      if (!(await this.#inTurn(() => this.#buildOne(mayBeLarge())))) return;
    }
    if (this.#stop.signal.aborted) return;
    this.#isPostponed = this.#planNow(true) !== undefined;
    if (this.#isPostponed) return this.#pace.whenSlow(() => void this.#run());
    const { tail: rowsInTail, segments } = this.parts;
    const rows = segments.map((segment) => segment.rows);
    this.#log("debug", "no vector graph is due", { folder: this.#folder, rowsInTail, segments: rows });
  }

  #planNow(mayBeLarge: boolean): BuildPlan | undefined {
    if (this.#createGraph === undefined || this.#stop.signal.aborted) return undefined;
    const segments = this.#segments.map(({ number, rows, place }) => {
      return { number, rows, live: this.#homes.count(place) };
    });
    const parts = { tail: this.#homes.count(tail), segments };
    const large = this.#hasLarge && mayBeLarge ? planLarge(parts, this.#limits) : undefined;
    return large ?? planBuild(parts, this.#limits);
  }

  /** False when it failed, which is logged, or nothing is due any more. */
  async #buildOne(mayBeLarge: boolean): Promise<boolean> {
    const plan = this.#planNow(mayBeLarge);
    if (plan === undefined || this.#createGraph === undefined) return false;
    try {
      await this.#carryOut(plan, this.#createGraph);
      return true;
    } catch (error) {
      if (this.#stop.signal.aborted) return false;
      this.#log("error", "a vector segment could not be built", {
        folder: this.#folder,
        error: toError(error),
      });
      if (this.#writesUntilLook !== undefined) this.#writesUntilLook = writesAfterFailure;
      return false;
    }
  }

  async #carryOut({ build, tailRows, replace }: BuildPlan, createGraph: CreateGraph): Promise<void> {
    const replaced = this.#segments.filter(({ number }) => replace.includes(number));
    if (build) {
      const ofTail = this.#homes.slotsOf([tail], tailRows);
      await this.#build(union(ofTail, this.#homes.slotsOf(replaced.map(({ place }) => place))), createGraph);
    }
    for (const segment of replaced) this.#forget(segment);
    for (const { number, graph } of replaced) {
      await graph.close();
      await this.#remove(number);
    }
  }

  async #build(slots: Uint32Array, createGraph: CreateGraph): Promise<void> {
    const { dimensions } = this;
    const number = ++this.#lastNumber;
    const toSeal = new RowsToSeal(slots, this.#exact);
    this.#toSeal = toSeal;
    try {
      const order = { folder: this.#folder, number, dimensions, ...toSeal.span };
      await buildSegment(order, () => toSeal.nextBatch(), this.#stop.signal);
      const { hashes, rows } = toSeal;
      const place = this.#freePlace();
      const graph = this.#open(createGraph, { number, rows });
      const segment = { number, place, graph, rows, firstSlot: toSeal.span.firstSlot, hashes };
      this.#segments = [segment, ...this.#segments];
      this.#isMoving = true; // until a slot is at home in it, it is found where it was before
      for (const [at, slot] of slots.entries()) {
        if (at % slotsAtOnce === 0 && this.#turns.isOver()) await this.#turns.next();
        if (toSeal.isUnchanged(slot)) this.#homes.put(slot, place);
      }
    } catch (error) {
      await this.#remove(number);
      throw error;
    } finally {
      this.#toSeal = undefined;
      this.#isMoving = false;
    }
  }

  /** What was found by it is compared row by row from now on. */
  #forget(segment: Segment): void {
    this.#segments = this.#segments.filter((other) => other !== segment);
    if (this.#homes.count(segment.place) === 0) return;
    for (const slot of this.#homes.slotsOf([segment.place])) this.#homes.put(slot, tail);
  }

  async #openSegments(): Promise<void> {
    const folder = this.#folder;
    const { numbers, leftovers } = await listSegments(folder);
    await removeLeftovers(folder, leftovers);
    this.#lastNumber = numbers[0] ?? 0;
    if (this.#createGraph === undefined) return;
    for (const number of numbers) {
      const facts = await readSegment(folder, number);
      if (facts === undefined || facts.dimensions !== this.dimensions) {
        this.#log("error", "a damaged vector segment is removed and will be built again", { folder, number });
        await this.#remove(number);
        continue;
      }
      await this.#turns.next(); // one after the other, so that the loop is not held by all of them together
      const { rows, firstSlot, hashes } = facts;
      const graph = this.#open(this.#createGraph, { number, rows });
      const segment = { number, place: this.#freePlace(), graph, rows, firstSlot, hashes };
      this.#segments = [...this.#segments, segment];
    }
  }

  #open(createGraph: CreateGraph, { number, rows }: Pick<Segment, "number" | "rows">): SearchGraph {
    const { dimensions } = this;
    const file = { path: segmentPaths(this.#folder, number).graph, dimensions };
    if (!isLarge(rows, this.#limits)) return openGraph(createGraph, file);
    return this.#openLarge(file, (error) => {
      const facts = { folder: this.#folder, number, error: error.message };
      this.#log("error", "a thread that searches a vector segment failed: graphs are made smaller", facts);
      this.#hasLarge = false;
      for (const segment of this.#segments) if (isLarge(segment.rows, this.#limits)) this.#forget(segment);
    });
  }

  /** What cannot be removed, as a mapped file on Windows, is removed when the index is opened again. */
  async #remove(number: number): Promise<void> {
    await removeSegment(this.#folder, number).catch((error: unknown) =>
      this.#log("debug", "a vector segment stays for now", { folder: this.#folder, number, error }),
    );
  }

  #freePlace(): number {
    for (let place = 1; place <= mostPlaces; place++)
      if (!this.#segments.some((segment) => segment.place === place)) return place;
    throw new RangeError(`vector index: more than ${mostPlaces} segments`);
  }
}
