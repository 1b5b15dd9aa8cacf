export interface EmbedOptions {
  /** Stops waiting; the call rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Turns texts into vectors of one dimension, in the order of the texts. What an LLM provider or a local model does can be given this shape. */
export type Embed<Vector extends ArrayLike<number> = ArrayLike<number>> = (
  texts: readonly string[],
  options?: EmbedOptions,
) => Promise<readonly Vector[]>;

/** An `Embed` that knows what it is. Both facts are recorded with each memory, because vectors of two models must never be compared. */
export interface Embedder<Vector extends ArrayLike<number> = ArrayLike<number>> {
  (texts: readonly string[], options?: EmbedOptions): Promise<Vector[]>;
  /** The name of the model; another version of it is another name. */
  readonly model: string;
  /** How many numbers a vector has; undefined until the first answer where only the model knows. */
  readonly dimensions: number | undefined;
}
