import { createSupabaseAdapter } from "agent-federation";
import type { BenchRow, Graphs, OpenEngine } from "./engine.ts";

const tenant = "bench";

/** Our own local store, by the door that agents use; what is found are whole memories. */
export const open: OpenEngine = async ({ folder, durability }) => {
  let tellBuilt: (graphs: Graphs) => void = () => {};
  const built = new Promise<Graphs>((resolve) => (tellBuilt = resolve));
  const adapter = createSupabaseAdapter({
    vectorBackend: "agentdb",
    dataDir: folder,
    agentId: "bench",
    durability,
    log: (_level, message, fields) => {
      if (message === "no vector graph is due") tellBuilt(fields as unknown as Graphs); // these are its fields
    },
  });
  await adapter.initialize();
  await adapter.getMemory("none", tenant);
  const memoryOf = ({ id, owner, content, vector }: BenchRow) => ({
    id,
    tenant_id: tenant,
    agent_id: owner,
    content,
    embedding: vector,
  });
  return {
    insert: async (rows) => {
      const [first] = rows;
      if (first !== undefined && rows.length === 1) await adapter.storeMemory(memoryOf(first));
      else await adapter.storeMemories(rows.map(memoryOf));
    },
    search: async (embedding, limit, owner) => {
      const filter = owner === undefined ? {} : { filter: { agent: owner } };
      const { matches } = await adapter.search({ tenant, embedding, mode: "meaning", limit, ...filter });
      return matches.map(({ id }) => id);
    },
    built: () => built,
    close: () => adapter.shutdown(),
  };
};
