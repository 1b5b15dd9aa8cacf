import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isFederationError } from "../../../runtime/errors.ts";
import {
  createSupabaseAdapter,
  type AdapterOptions,
  type AgentMemory,
  type SupabaseFederationAdapter,
} from "../../../supabase-adapter.ts";
import { startStack, type TestStack } from "../../testing/start-stack.node.ts";
import type { VectorBackend } from "../../vector-backend.ts";

export const backendNames: readonly VectorBackend[] = ["agentdb", "pgvector", "hybrid"];

/** Adapters of each backend, on one stack and in folders of their own, which are closed and removed after each test. */
export class BackendFixture {
  readonly stack: TestStack;
  readonly #opened: SupabaseFederationAdapter[] = [];
  readonly #folders: string[] = [];

  static async start(): Promise<BackendFixture> {
    return new BackendFixture(await startStack());
  }

  constructor(stack: TestStack) {
    this.stack = stack;
  }

  async folder(): Promise<string> {
    const folder = await mkdtemp(join(tmpdir(), "federation-store-"));
    this.#folders.push(folder);
    return folder;
  }

  /** Acts for whom calls name, else for ann; agentdb gets neither URL nor key. */
  async open(vectorBackend: VectorBackend, more: AdapterOptions = {}): Promise<SupabaseFederationAdapter> {
    const { url, anonKey, jwtSecret } = this.stack;
    const isLocal = vectorBackend === "agentdb";
    const adapter = createSupabaseAdapter({
      ...(isLocal ? {} : { url, anonKey, jwtSecret }),
      vectorBackend,
      agentId: "ann",
      ...(vectorBackend === "pgvector" ? {} : { dataDir: more.dataDir ?? (await this.folder()) }),
      ...more,
    });
    this.#opened.push(adapter);
    return adapter;
  }

  async afterEach(): Promise<void> {
    await Promise.all(this.#opened.splice(0).map((adapter) => adapter.shutdown().catch(() => undefined)));
    for (const folder of this.#folders.splice(0)) await rm(folder, { recursive: true, force: true });
  }
}

export function memoryOf(tenant_id: string, more: Partial<AgentMemory> = {}): AgentMemory {
  return { id: "mem-001", tenant_id, agent_id: "ann", content: "Important finding", ...more };
}

export async function codeOf(attempt: Promise<unknown>): Promise<string> {
  return await attempt.then(
    () => "resolved",
    (error: unknown) => (isFederationError(error) ? error.code : String(error)),
  );
}

export function idsOf(memories: readonly { readonly id: string }[]): string[] {
  return memories.map(({ id }) => id);
}
