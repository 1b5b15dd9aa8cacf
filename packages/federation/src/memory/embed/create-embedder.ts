import { systemClock, type Clock } from "../../runtime/clock.ts";
import { FederationError, isFederationError } from "../../runtime/errors.ts";
import { checkVectors } from "./check-vectors.ts";
import type { Embed, Embedder, EmbedOptions } from "./embed.ts";
import { hashOfText } from "./hash-of-text.ts";
import { VectorCache } from "./vector-cache.ts";

export interface EmbedderOptions {
  /** Is called with at most `maxBatch` texts, all different. */
  readonly embed: Embed;
  /** Recorded with each memory; 1 to 255 bytes. */
  readonly model: string;
  /** 1 to 4096. Default: what the first answer has. */
  readonly dimensions?: number | undefined;
  /** Texts in one call. Default 64. */
  readonly maxBatch?: number | undefined;
  /** Calls at the same time. Default 2. */
  readonly maxCalls?: number | undefined;
  /** Vectors kept, so that the same text is not embedded again. Default 2000; 0 keeps none. */
  readonly maxCached?: number | undefined;
  readonly clock?: Clock | undefined;
}

/**
 * Makes a function an embedder: calls that come at the same time go out together, the same text is embedded once, and every vector is
 * checked. A call fails when its own texts do: where others' texts were refused (`invalid_argument`, `too_large`), its own are tried without them.
 */
export function createEmbedder(options: EmbedderOptions): Embedder<Float32Array> {
  const queue = new EmbedQueue(options.embed, {
    model: checkModel(options.model),
    dimensions:
      options.dimensions === undefined ? undefined : wholeNumber(options.dimensions, "dimensions", 1, 4096),
    maxBatch: wholeNumber(options.maxBatch ?? 64, "maxBatch", 1, 10_000),
    maxCalls: wholeNumber(options.maxCalls ?? 2, "maxCalls", 1, 100),
    maxCached: wholeNumber(options.maxCached ?? 2000, "maxCached", 0, 10_000_000),
    clock: options.clock ?? systemClock,
  });
  const embed = (texts: readonly string[], { signal }: EmbedOptions = {}): Promise<Float32Array[]> =>
    queue.embed(texts, signal);
  return Object.defineProperties(embed, {
    model: { value: options.model, enumerable: true },
    dimensions: { get: () => queue.dimensions, enumerable: true },
  }) as Embedder<Float32Array>; // it has the two properties now
}

interface Limits {
  readonly model: string;
  readonly dimensions: number | undefined;
  readonly maxBatch: number;
  readonly maxCalls: number;
  readonly maxCached: number;
  readonly clock: Clock;
}

/** A text that is to be embedded, or being embedded. */
interface Job {
  readonly hash: string;
  readonly text: string;
  readonly vector: Promise<Float32Array>;
  readonly resolve: (vector: Float32Array) => void;
  readonly reject: (error: unknown) => void;
  /** How many calls want it. */
  wanted: number;
  /** Called when nobody wants it any more. */
  giveUp: () => void;
}

class EmbedQueue {
  readonly #embed: Embed;
  readonly #limits: Limits;
  readonly #cache: VectorCache;
  /** By hash, waiting or running. */
  readonly #jobs = new Map<string, Job>();
  readonly #waiting = new Set<Job>();
  #running = 0;
  /** Calls whose texts are being hashed. */
  #arriving = 0;
  #isStarting = false;
  #dimensions: number | undefined;

  constructor(embed: Embed, limits: Limits) {
    this.#embed = embed;
    this.#limits = limits;
    this.#cache = new VectorCache(limits.maxCached);
    this.#dimensions = limits.dimensions;
  }

  get dimensions(): number | undefined {
    return this.#dimensions;
  }

  async embed(texts: readonly string[], signal: AbortSignal | undefined): Promise<Float32Array[]> {
    signal?.throwIfAborted();
    const hashes = await this.#hash(texts);
    const jobs = new Set<Job>();
    const vectors = texts.map((text, index) => {
      const hash = hashes[index] ?? "";
      const known = this.#cache.get(hash);
      if (known !== undefined) return Promise.resolve(known);
      const job = this.#jobs.get(hash) ?? this.#newJob(hash, text);
      if (!jobs.has(job)) job.wanted += 1;
      jobs.add(job);
      return job.vector;
    });
    this.#startSoon();
    try {
      const found = await untilAborted(Promise.all(vectors), signal);
      return found.map((vector) => vector.slice());
    } finally {
      for (const job of jobs) if (--job.wanted === 0) job.giveUp();
    }
  }

  async #hash(texts: readonly string[]): Promise<string[]> {
    this.#arriving += 1;
    try {
      return await Promise.all(texts.map(hashOfText));
    } finally {
      this.#arriving -= 1;
    }
  }

  #newJob(hash: string, text: string): Job {
    let settle: Pick<Job, "resolve" | "reject"> | undefined;
    const vector = new Promise<Float32Array>((resolve, reject) => (settle = { resolve, reject }));
    vector.catch(() => undefined); // whoever wants it hears of it; perhaps nobody does any more
    if (settle === undefined) throw new Error("a promise calls its executor at once");
    const job: Job = { hash, text, vector, ...settle, wanted: 0, giveUp: () => this.#forget(job) };
    this.#jobs.set(hash, job);
    this.#waiting.add(job);
    return job;
  }

  #forget(job: Job): void {
    this.#waiting.delete(job);
    if (this.#jobs.get(job.hash) === job) this.#jobs.delete(job.hash);
  }

  /** At once where a batch is full, else when whoever else is about to ask has done so. */
  #startSoon(): void {
    if (this.#waiting.size >= this.#limits.maxBatch) return this.#start();
    if (this.#isStarting || this.#waiting.size === 0) return;
    this.#isStarting = true;
    this.#limits.clock.after(0, () => {
      this.#isStarting = false;
      // The last of those who are about to ask comes here again.
      if (this.#arriving === 0) this.#start();
    });
  }

  #start(): void {
    while (this.#running < this.#limits.maxCalls && this.#waiting.size > 0) {
      const batch = [...this.#waiting].slice(0, this.#limits.maxBatch);
      for (const job of batch) this.#waiting.delete(job);
      this.#running += 1;
      // It reports to the jobs and never rejects.
      void this.#run(batch).then(() => {
        this.#running -= 1;
        for (const job of batch) this.#forget(job);
        this.#start();
      });
    }
  }

  async #run(batch: readonly Job[]): Promise<void> {
    const wanted = batch.filter((job) => job.wanted > 0);
    if (wanted.length === 0) return;
    const controller = new AbortController();
    let left = wanted.length;
    for (const job of wanted) {
      job.giveUp = () => {
        this.#forget(job);
        if (--left === 0)
          controller.abort(new FederationError("closed", "embed: nobody waits for it any more"));
      };
    }
    try {
      const texts = wanted.map((job) => job.text);
      const { model } = this.#limits;
      // One that does not heed the signal must not hold up those who wait.
      const answer = await untilAborted(this.#embed(texts, controller), controller.signal);
      const vectors = checkVectors(answer, { model, count: texts.length, dimensions: this.#dimensions });
      this.#dimensions ??= vectors[0]?.length;
      for (const [index, job] of wanted.entries()) {
        const vector = vectors[index];
        if (vector === undefined) continue; // checked: there is one for each
        this.#cache.set(job.hash, vector);
        job.resolve(vector);
      }
    } catch (error) {
      if (wanted.length > 1 && isAboutOneText(error)) {
        const half = Math.ceil(wanted.length / 2);
        await this.#run(wanted.slice(0, half));
        await this.#run(wanted.slice(half));
      } else for (const job of wanted) job.reject(error);
    }
  }
}

function isAboutOneText(error: unknown): boolean {
  return isFederationError(error, "invalid_argument") || isFederationError(error, "too_large");
}

function untilAborted<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  return new Promise<T>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason as Error); // whatever the caller aborted with
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    promise.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

function checkModel(model: unknown): string {
  const sizeBytes = typeof model === "string" ? new TextEncoder().encode(model).length : 0;
  if (typeof model === "string" && sizeBytes >= 1 && sizeBytes <= 255) return model;
  throw new FederationError("invalid_argument", "embedder model: expected a name of 1 to 255 bytes");
}

function wholeNumber(value: number, name: string, least: number, most: number): number {
  if (Number.isInteger(value) && value >= least && value <= most) return value;
  throw new FederationError(
    "invalid_argument",
    `embedder ${name}: expected a whole number from ${least} to ${most}, got ${value}`,
  );
}
