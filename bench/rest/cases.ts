import type { Load } from "../harness/load.ts";

export type Engine = "PGlite" | "native Postgres";
export type Operation = "insert" | "select" | "update" | "rpc" | "bulk insert" | "bulk insert with vectors";
/** What sends the requests: what an application uses, or the least that can, where the application's client would be measured. */
export type Client = "supabase-js" | "node:http";

export interface RestCase {
  readonly engine: Engine;
  readonly operation: Operation;
  readonly client: Client;
  readonly load: Load;
  /** Rows that one request writes or reads. */
  readonly rowsPerRequest: number;
}

/** A rehearsal takes a tenth of the time and is not worth quoting. */
export function restCases(options: {
  readonly engines: readonly Engine[];
  readonly isRehearsal: boolean;
}): RestCase[] {
  const single: readonly Operation[] = ["insert", "select", "update", "rpc"];
  const bulk: readonly Operation[] = ["bulk insert", "bulk insert with vectors"];
  const scale = options.isRehearsal ? 0.1 : 1;
  return options.engines.flatMap((engine) => [
    ...single.flatMap((operation) =>
      [1, 16].flatMap((concurrency) =>
        (["supabase-js", "node:http"] as const).map((client) => ({
          engine,
          operation,
          client,
          load: { concurrency, warmUp: 200, maxRequests: 4_000 * scale, maxMs: 4_000 * scale },
          rowsPerRequest: 1,
        })),
      ),
    ),
    ...bulk.map((operation) => ({
      engine,
      operation,
      client: "supabase-js" as const,
      load: { concurrency: 1, warmUp: 2, maxRequests: 40 * scale, maxMs: 20_000 * scale },
      rowsPerRequest: 1_000,
    })),
  ]);
}

export function nameOf({ engine, operation, client, load }: RestCase): string {
  return `${engine}, ${operation}, ${load.concurrency} at once, by ${client}`;
}
