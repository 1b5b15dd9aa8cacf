import { afterAll, beforeAll, expect, test } from "vitest";
import { nativeUrl } from "../../../../test-support/database.ts";
import {
  agent,
  as,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  rpcRows,
} from "../../../../test-support/sql-roles.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";

// The embedded database has one connection: nothing happens at once there.
const onNative = test.skipIf(nativeUrl === undefined);

let database: Database;
beforeAll(async () => {
  if (nativeUrl !== undefined) database = await openFederationDatabase();
});
afterAll(() => (nativeUrl === undefined ? undefined : database.close()));

interface Page {
  readonly rows: readonly { readonly id: string; readonly content: string | null }[];
  readonly cursor: string;
  readonly done: boolean;
  readonly held_back: boolean;
}
interface Answer {
  readonly outcome: string;
}
const memory = (id: string, ms: number, content = "x") => ({
  id,
  content,
  hlc: { ms, counter: 0, writer: "w" },
});

function gate(): { readonly opened: Promise<void>; readonly open: () => void } {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => (open = resolve));
  return { opened, open };
}

onNative("a transaction held open across pulls loses nothing", async () => {
  const tenant = newTenant();
  const [alice, bob] = [agent(tenant, "alice"), agent(tenant, "bob")];
  const pull = (cursor: string | null) => call<Page>(database, bob, "pull_memories", { cursor });
  const [written, released] = [gate(), gate()];
  // It takes its places first and commits last.
  const slow = as(database, alice, async (session) => {
    await rpcRows(session, "push_memories", { memories: [memory("slow", 1)] });
    written.open();
    await released.opened;
  });
  await written.opened;
  await callRows(database, alice, "push_memories", { memories: [memory("fast", 1)] });
  const during = await pull(null);
  expect(during).toMatchObject({ rows: [], done: true, held_back: true });
  const still = await pull(during.cursor);
  released.open();
  await slow;
  const ids: string[] = [];
  // Other databases of the cluster have transactions of their own, which may still be running for a moment.
  for (let { cursor } = still; ids.length < 2;) {
    const page = await pull(cursor);
    ids.push(...page.rows.map(({ id }) => id));
    cursor = page.cursor;
  }
  expect(ids).toEqual(["slow", "fast"]);
});

onNative(
  "a reader that pulls all the time sees each of what eight writers commit",
  async () => {
    const tenant = newTenant();
    const bob = agent(tenant, "bob");
    const seen = new Map<string, number>();
    let cursor: string | null = null;
    const read = async (): Promise<void> => {
      const page: Page = await call<Page>(database, bob, "pull_memories", { cursor, max_rows: 7 });
      for (const { id } of page.rows) seen.set(id, (seen.get(id) ?? 0) + 1);
      ({ cursor } = page);
    };
    const writers = Array.from({ length: 8 }, async (_, writer) => {
      for (let at = 0; at < 20; at += 1) {
        const memories = [memory(`${writer}-${at}-a`, 1), memory(`${writer}-${at}-b`, 1)];
        await callRows(database, agent(tenant, `w${writer}`), "push_memories", { memories });
      }
    });
    const writing = Promise.all(writers);
    let isOver = false;
    void writing.then(() => (isOver = true));
    while (!isOver) await read();
    await writing;
    while (seen.size < 320) await read();
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
  },
  60_000,
);

onNative(
  "pushes of the same memories in other orders wait for each other, and the latest clock wins",
  async () => {
    const alice = agent(newTenant(), "alice");
    const ids = Array.from({ length: 200 }, (_, at) => `m${at}`);
    for (let round = 1; round <= 4; round += 1) {
      const clocks = [1, 2, 3, 4].map((part) => round * 10 + part);
      const orders = [ids, ids.toReversed(), ids.slice(100), ids.toReversed().slice(50)];
      const pushes = clocks.map((ms, at) =>
        callRows<Answer>(database, alice, "push_memories", {
          memories: (orders[at] ?? []).map((id) => memory(id, ms, `clock ${ms}`)),
        }),
      );
      const outcomes = (await Promise.all(pushes)).flat().map(({ outcome }) => outcome);
      expect(outcomes.filter((outcome) => outcome !== "applied" && outcome !== "older")).toEqual([]);
      const rows = await callRows<{ id: string; content: string }>(database, alice, "read_memories", { ids });
      const wanted = (id: string) =>
        `clock ${Math.max(...clocks.filter((_, at) => orders[at]?.includes(id) === true))}`;
      expect(rows.map(({ id, content }) => [id, content])).toEqual(rows.map(({ id }) => [id, wanted(id)]));
      expect(rows).toHaveLength(200);
    }
  },
  60_000,
);

onNative("of eight that store a memory that must not exist one does", async () => {
  const alice = agent(newTenant(), "alice");
  const outcomes = await Promise.allSettled(
    Array.from({ length: 8 }, (_, at) =>
      call(database, alice, "store_memory", { memory: { id: "k", content: `${at}`, if_version: 0 } }),
    ),
  );
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  for (const outcome of outcomes) {
    if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "23505" });
  }
});
