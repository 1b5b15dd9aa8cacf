import type { ResolvedAdapterOptions } from "../adapter-options.ts";
import type { QuietClock } from "../quiet-clock.ts";
import { loadNodeFile } from "./load-node-file.ts";
import type { MemoryBackend } from "./memory-backend.ts";
import { PgvectorBackend } from "./pgvector-backend.ts";

type BackendClass = new (options: ResolvedAdapterOptions, clock: QuietClock) => MemoryBackend;

/** The backend that the options name. Those that keep a store on the disk are loaded only where they are used, and by Node alone. */
export async function openBackend(
  options: ResolvedAdapterOptions,
  clock: QuietClock,
): Promise<MemoryBackend> {
  switch (options.vectorBackend) {
    case "pgvector":
      return new PgvectorBackend(options, clock);
    case "agentdb": {
      const module = await loadNodeFile("./agentdb-backend.node.ts");
      const { AgentdbBackend } = module as { readonly AgentdbBackend: BackendClass }; // what that file exports
      return new AgentdbBackend(options, clock);
    }
    case "hybrid": {
      const module = await loadNodeFile("./hybrid-backend.node.ts");
      const { HybridBackend } = module as { readonly HybridBackend: BackendClass }; // what that file exports
      return new HybridBackend(options, clock);
    }
  }
}
