import { FederationError } from "../runtime/errors.ts";
import { checkEmbedding, type CheckedMemory } from "./check-memory.ts";
import type { Embedder } from "./embed/embed.ts";

/** Gives those that have text and no embedding one. Vectors that came without the name of a model are taken for those of `embedder`. */
export async function embedMissing(
  memories: readonly CheckedMemory[],
  embedder: Embedder | undefined,
  signal: AbortSignal | undefined,
): Promise<CheckedMemory[]> {
  if (embedder === undefined) return [...memories];
  const bare = memories.filter((each) => each.embedding === undefined && each.content.trim() !== "");
  const texts = bare.map((each) => each.content);
  const vectors = texts.length === 0 ? [] : await embedder(texts, { signal });
  if (vectors.length !== texts.length)
    throw new FederationError(
      "protocol",
      `embed with ${embedder.model}: expected a vector for each of ${texts.length} texts, got ${vectors.length}`,
    );
  const made = new Map(bare.map((each, at) => [each, vectors[at]]));
  return memories.map((each) => {
    const vector = made.get(each);
    if (vector === undefined)
      return each.embedding === undefined ? each : { embedding_model: embedder.model, ...each };
    const embedding = checkEmbedding(vector, "the embedding of embed");
    return { ...each, embedding, embedding_model: embedder.model };
  });
}
