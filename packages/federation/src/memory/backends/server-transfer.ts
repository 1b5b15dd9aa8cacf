import { FederationError } from "../../runtime/errors.ts";
import type { MemoryRow } from "../memory-row.ts";
import { compareUtf8 } from "../sync/hlc.ts";
import type { PushAnswer, ServerRow } from "../sync/sync-server.ts";
import type { TransferMemory } from "../transfer/transfer-memory.ts";
import type { MemoryTransfer } from "./memory-backend.ts";

export interface ServerTransferParts {
  /** The next ids, in an order of the server's; empty at the end. */
  readonly ids: (afterId: string | undefined) => Promise<readonly string[]>;
  /** How many ids to keep in mind; of more they are asked for several times. Default 200,000. */
  readonly mostIds?: number | undefined;
  readonly read: (ids: readonly string[]) => Promise<readonly ServerRow[]>;
  readonly push: (rows: readonly MemoryRow[]) => Promise<readonly PushAnswer[]>;
}

// The store's batches are larger than what is best asked of a server at once.
const rowsAtOnce = 200;
// One may have a mebibyte.
const readAtOnce = 100;

/** The database as where memories come from and go to: as replicas read and write it, so that clocks stay. */
export function serverTransfer(parts: ServerTransferParts): MemoryTransfer {
  return {
    source: { rows: (options) => rowsOf(parts, options?.afterId) },
    sink: {
      held: async (ids) => {
        const rows: (readonly [string, MemoryRow])[] = [];
        for (const some of slices(ids, rowsAtOnce))
          for (const { row } of await parts.read(some)) rows.push([row.id, row]);
        return new Map(rows);
      },
      store: async (memories) => {
        let stored = 0;
        for (const some of slices(memories, rowsAtOnce)) {
          const answers = await parts.push(some.map(rowOf));
          stored += answers.filter(({ outcome }) => outcome === "applied").length;
          const at = answers.findIndex(({ outcome }) => outcome === "refused");
          const refused = answers[at];
          if (refused?.outcome === "refused") throw refusal(some[at]?.id, refused);
        }
        return stored;
      },
    },
  };
}

async function* rowsOf(parts: ServerTransferParts, afterId: string | undefined): AsyncGenerator<MemoryRow> {
  for await (const ids of idsInOrder(parts, afterId)) {
    const rows = new Map((await parts.read(ids)).map(({ row }) => [row.id, row]));
    for (const id of ids) {
      const row = rows.get(id);
      if (row !== undefined) yield row;
    }
  }
}

/**
 * Ids in the order of their bytes, which local stores have: the database's own is that of its locale, and no request can ask for another.
 * So all are asked for, and the first of them kept.
 */
async function* idsInOrder(
  { ids, mostIds = 200_000 }: ServerTransferParts,
  afterId: string = "",
): AsyncGenerator<readonly string[]> {
  for (let after = afterId, isLast = false; !isLast;) {
    let first: string[] = [];
    isLast = true;
    for (let page = await ids(undefined); page.length > 0; page = await ids(page.at(-1))) {
      for (const id of page) if (compareUtf8(id, after) > 0) first.push(id);
      if (first.length <= 2 * mostIds) continue;
      first = first.sort(compareUtf8).slice(0, mostIds);
      isLast = false;
    }
    first = first.sort(compareUtf8);
    yield* slices(isLast ? first : first.slice(0, mostIds), readAtOnce);
    after = first[mostIds - 1] ?? after;
  }
}

function rowOf(memory: TransferMemory): MemoryRow {
  const { embedding, deleted_at = null, hlc } = memory;
  return {
    ...memory,
    embedding: embedding === null ? null : Float32Array.from(embedding),
    session_agent: null, // the database decides
    deleted_at,
    // The same everywhere, so that what is imported on two machines is one memory.
    hlc: hlc ?? { ms: Date.parse(memory.updated_at), counter: 0, writer: "import" },
  };
}

function refusal(
  id: string | undefined,
  { reason, code }: { readonly reason: string; readonly code: string },
): FederationError {
  const isForbidden = code === "42501" || code === "forbidden";
  return new FederationError(
    isForbidden ? "forbidden" : "invalid_argument",
    `memory ${JSON.stringify(id)}: ${reason}`,
  );
}

function* slices<T>(all: readonly T[], size: number): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += size) yield all.slice(at, at + size);
}
