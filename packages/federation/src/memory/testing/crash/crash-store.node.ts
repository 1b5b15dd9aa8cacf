import type { Durability } from "../../local/local-store.ts";
import type { LocalStoreOptions } from "../../local/open-local-store.node.ts";
import type { CrashServer } from "./crash-engine.node.ts";

export interface CrashStore {
  readonly dataDir: string;
  readonly store: string;
  readonly durability: Durability;
  /** Left out: the child itself answers for what is in the outbox. */
  readonly server?: CrashServer | undefined;
}

/** What a trial tells its child. */
export interface ChildOrders extends CrashStore {
  readonly seed: number;
  /** The highest generation of each id that was ever tried. */
  readonly used: Readonly<Record<string, number>>;
}

/** Journals that end soon, graphs of few vectors and a thread after few changes, so that a short life meets a cut, a compaction and a build. */
export function crashStore({ dataDir, store, durability }: CrashStore): LocalStoreOptions {
  const graphs = { threshold: 60, segmentRows: 60 };
  return { dataDir, store, durability, maxJournalFileBytes: 40_000, graphs, threadFrom: 100 };
}
