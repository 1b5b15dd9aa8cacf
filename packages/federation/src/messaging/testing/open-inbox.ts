import { silentLog } from "../../runtime/log.ts";
import { TestClock } from "../../runtime/testing/test-clock.ts";
import type { Delivery } from "../deliveries.ts";
import { Inbox, type InboxParts } from "../inbox.ts";

/** As pull_inbox answers one. */
export const row = (id: string, from = "b", extra: object = {}): Record<string, unknown> => ({
  id,
  from_agent: from,
  to_agent: "me",
  type: "note",
  payload: { id },
  timestamp: "2026-01-01T00:00:00.5+00:00",
  seq: Number(id.replace(/\D/g, "")) || 1,
  ...extra,
});
/** Lets everything run that waits for nothing but its turn. */
export const turns = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
};

export const succeeded: Delivery = { listeners: 1, finished: Promise.resolve([]), again: () => succeeded };
export const failing: Delivery = {
  listeners: 1,
  finished: Promise.resolve([new Error("no")]),
  again: () => failing,
};

export const broadcast = (id: string, extra: object = {}): Record<string, unknown> =>
  row(id, "b", { to_agent: null, ...extra });

/** As pull_messages answers. */
export const page = (rows: readonly unknown[], extra: object = {}): object => ({
  rows,
  cursor: "e:1:0",
  done: true,
  held_back: false,
  reset: false,
  server_time: "2026-01-01T00:00:00Z",
  ...extra,
});

export interface InboxBench {
  readonly inbox: Inbox;
  readonly clock: TestClock;
  readonly handled: string[];
  readonly marks: string[];
  readonly listening: Set<string>;
}

/** An inbox whose database the test plays. */
export function openInbox(parts: Partial<InboxParts> = {}): InboxBench {
  const clock = new TestClock();
  const handled: string[] = [];
  const marks: string[] = [];
  const listening = new Set(["note"]);
  const inbox = new Inbox({
    isMyTurn: () => true,
    agentId: "me",
    clock,
    log: silentLog,
    pull: async () => [],
    limits: { maxDeliveries: 3, giveUpMs: 60_000 },
    count: async (ids) => ids.map((id) => ({ id, delivery_attempt: 1, dead: false })),
    undo: async (ids) => void marks.push(`undone ${ids.join()}`),
    fail: async (id, error, dead) => void marks.push(`${dead ? "dead" : "failed"} ${id} ${error}`),
    giveUp: async (id, error, attempts) => void marks.push(`gave up ${id} ${attempts} ${error}`),
    mark: async (ids, state) => void marks.push(...ids.map((id) => `${state} ${id}`)),
    pullMissed: async () => page([]),
    readOne: async () => null,
    keepPlace: async () => ({ cursor: "1", moved_at: "2026-01-01T00:00:00Z", new: true }),
    startFeed: async () => 1,
    random: () => 1,
    hasListener: (type) => listening.has(type),
    deliver: (message) => {
      handled.push(message.id);
      return succeeded;
    },
    ...parts,
  });
  inbox.release();
  return { inbox, clock, handled, marks, listening };
}
