import { checkEmbedding, type CheckedMemory } from "./check-memory.ts";
import type { Embedder } from "./embed/embed.ts";

/** Gives those that have text and no embedding one, with the name of its model; the others stay as they are. */
export async function embedMissing(
  memories: readonly CheckedMemory[],
  embedder: Embedder | undefined,
  signal: AbortSignal | undefined,
): Promise<CheckedMemory[]> {
  const bare = memories.filter((each) => each.embedding === undefined && each.content.trim() !== "");
  if (embedder === undefined || bare.length === 0) return [...memories];
  const vectors = await embedder(
    bare.map((each) => each.content),
    { signal },
  );
  const made = new Map(bare.map((each, at) => [each, vectors[at]]));
  return memories.map((each) => {
    const vector = made.get(each);
    if (vector === undefined) return each;
    const embedding = checkEmbedding(vector, "the embedding of embed");
    return { ...each, embedding, embedding_model: embedder.model };
  });
}
