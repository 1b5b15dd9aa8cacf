import { FederationError } from "../runtime/errors.ts";
import { describe } from "../runtime/json.ts";
import type { CheckedMemory } from "./check-memory.ts";
import type { MemoryWrite } from "./backends/memory-backend.ts";

/** How `storeMemory` stores. */
export interface StoreOptions {
  /**
   * The version that is replaced; 0: there must be none. Any other is refused with "conflict", whose message names both versions. The
   * database decides, under the hybrid backend, too, which brings there first what waits here of the memory: where it cannot be reached the call
   * rejects with "unreachable", or "timeout", and stores nothing here. It is tried once; where an answer was lost, read the memory again to
   * see whether it was stored. With the sync switched off, and under agentdb, this machine decides.
   */
  readonly ifVersion?: number | undefined;
  /** Seconds from now, by the server's clock, until the memory expires; comes before `expires_at`. */
  readonly ttlSeconds?: number | undefined;
  /** Where the agent has a living memory of the same scope and content, resolve to that one and store nothing. */
  readonly skipIdentical?: boolean | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** How `storeMemories` stores. */
export interface BulkStoreOptions extends Omit<StoreOptions, "ifVersion"> {
  /** Called after each batch that is stored. */
  readonly onProgress?: ((progress: StoreProgress) => void) | undefined;
}

export interface StoreProgress {
  readonly stored: number;
  /** Identical to one that was there. */
  readonly skipped: number;
}

/** Throws FederationError "invalid_argument". */
export function checkStoreOptions({
  ifVersion,
  ttlSeconds,
  skipIdentical,
}: StoreOptions): Omit<MemoryWrite, "memory"> {
  if (ifVersion !== undefined && !(Number.isSafeInteger(ifVersion) && ifVersion >= 0))
    throw invalid("ifVersion", "a whole number from 0", ifVersion);
  if (ttlSeconds !== undefined && !(ttlSeconds > 0 && ttlSeconds <= 1e10))
    throw invalid("ttlSeconds", "a number of seconds above 0", ttlSeconds);
  return { ifVersion, ttlSeconds, skipIdentical: skipIdentical === true ? true : undefined };
}

/** Each key named: with `how` spread V8 makes an object of a kind of its own, which whoever reads it then waits for. */
export function writeOf(
  memory: CheckedMemory,
  { ifVersion, ttlSeconds, skipIdentical }: Omit<MemoryWrite, "memory">,
): MemoryWrite {
  return { memory, ifVersion, ttlSeconds, skipIdentical };
}

function invalid(name: string, expected: string, found: unknown): FederationError {
  return new FederationError(
    "invalid_argument",
    `storeMemory ${name}: expected ${expected}, got ${describe(found)}`,
  );
}
