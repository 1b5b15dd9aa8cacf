import type { Embedder, EmbedOptions } from "./embed.ts";

export interface HashingEmbedderOptions {
  /** Length of the vectors, 16 to 4096; default 384. */
  readonly dimensions?: number;
}

/**
 * An embedder without a model: words and their letter triples are hashed onto the dimensions, so texts that share words are
 * near each other. It knows no synonyms. The same text gives the same vector everywhere; every vector has length 1. Its model's name is `hashing`.
 */
export function createHashingEmbedder({ dimensions = 384 }: HashingEmbedderOptions = {}): Embedder<number[]> {
  if (!Number.isInteger(dimensions) || dimensions < 16 || dimensions > 4096) {
    throw new RangeError(
      `createHashingEmbedder: expected dimensions to be an integer from 16 to 4096, got ${dimensions}`,
    );
  }
  const embed = async (texts: readonly string[], { signal }: EmbedOptions = {}): Promise<number[][]> => {
    signal?.throwIfAborted();
    return texts.map((text) => hashText(text, dimensions));
  };
  return Object.assign(embed, { model: "hashing", dimensions });
}

function hashText(text: string, dimensions: number): number[] {
  const vector = Array.from({ length: dimensions }, () => 0);
  for (const [feature, weight] of featuresOf(text)) {
    const hash = fnv1a(feature);
    // The lowest bit is the sign: two features that meet in one dimension cancel as often as they add up.
    const at = (hash >>> 1) % dimensions;
    vector[at] = (vector[at] ?? 0) + (hash & 1 ? weight : -weight);
  }
  const length = Math.hypot(...vector);
  // Only when every feature was cancelled by another: one dimension, chosen by the whole text, keeps the length 1.
  if (length === 0) return vector.map((_, index) => (index === fnv1a(text) % dimensions ? 1 : 0));
  return vector.map((value) => value / length);
}

/** Feature to weight. Short words ("the", "of") say little; triples let "report" be near "reporting". */
function featuresOf(text: string): Map<string, number> {
  const counts = new Map<string, number>();
  const add = (feature: string, weight: number): void =>
    void counts.set(feature, (counts.get(feature) ?? 0) + weight);
  for (const word of text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? []) {
    const weight = word.length < 4 ? 0.2 : 1;
    add(`word ${word}`, weight);
    for (let at = 0; at + 3 <= word.length; at++)
      add(`triple ${word.slice(at, at + 3)}`, weight / word.length);
  }
  // A word that comes ten times is not ten times as important.
  return new Map([...counts].map(([feature, weight]) => [feature, Math.sqrt(weight)]));
}

/** 32 bits, FNV-1a over UTF-16 code units, with a final mixing step: the low bits decide sign and place. */
function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (let index = 0; index < text.length; index++)
    hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 15)) >>> 0;
}
