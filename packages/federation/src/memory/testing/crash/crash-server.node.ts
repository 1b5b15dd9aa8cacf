import { serviceClient } from "../start-stack.node.ts";
import type { CrashServer } from "./crash-engine.node.ts";
import type { CrashFacts } from "./crash-rows.node.ts";

/** What the database holds of a trial's tenant, as the official client reads it. */
export async function rowsOnServer(server: CrashServer): Promise<Map<string, CrashFacts>> {
  const columns = "id,content,embedding,metadata,deleted_at,hlc_ms,hlc_counter,hlc_writer";
  const { data, error } = await serviceClient(server)
    .from("agent_memories")
    .select(columns)
    .eq("tenant_id", server.tenantId)
    .overrideTypes<ServerFacts[], { merge: false }>();
  if (error !== null) throw new Error(`read the rows of a trial: ${error.message}`);
  return new Map(data.map((row) => [row.id, factsOf(row)]));
}

interface ServerFacts {
  readonly id: string;
  readonly content: string | null;
  readonly embedding: string | null;
  readonly metadata: CrashFacts["metadata"];
  readonly deleted_at: string | null;
  readonly hlc_ms: number;
  readonly hlc_counter: number;
  readonly hlc_writer: string;
}

function factsOf({ id, content, embedding, metadata, deleted_at, ...clock }: ServerFacts): CrashFacts {
  return {
    id,
    content: content ?? "",
    embedding: embedding === null ? null : Float32Array.from(JSON.parse(embedding) as number[]), // as pgvector prints it
    metadata,
    deleted_at,
    hlc: { ms: clock.hlc_ms, counter: clock.hlc_counter, writer: clock.hlc_writer },
  };
}
