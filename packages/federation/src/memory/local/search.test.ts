import { expect, test } from "vitest";
import type { MemoryFilter } from "../memory-row.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { rowOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();
const nowMs = Date.parse("2026-06-01T00:00:00Z");

test.each<[string, MemoryFilter]>([
  ["all", {}],
  ["an agent", { agent: "a" }],
  ["a session", { session: "s" }],
  ["an agent and a session", { agent: "a", session: "s" }],
  ["an agent since a time", { agent: "a", since: "2025-12-31T00:00:00Z" }],
])(
  "the nearest that have not expired are found, however many have, among those of %s",
  async (name, filter) => {
    const store = await openLocalStore({ store: `expired ${name}`, dataDir });
    const tenant = store.tenant("t");
    const rows = Array.from({ length: 200 }, (_, at) =>
      rowOf({
        id: `row ${at}`,
        agent_id: "a",
        session_id: "s",
        embedding: Float32Array.of(1, at / 100),
        expires_at: at < 150 ? "2026-02-01T00:00:00Z" : null,
      }),
    );
    const others = rows.map((row) => ({
      ...row,
      id: `other ${row.id}`,
      agent_id: "b",
      session_id: "u",
      expires_at: "2026-02-01T00:00:00Z",
    }));
    await tenant.write(
      [...rows, ...others].map((row) => ({ row })),
      { outbox: false },
    );
    const found = await tenant.searchMeaning({
      embedding: Float32Array.of(1, 0),
      model: null,
      filter,
      nowMs,
      limit: 4,
    });
    expect(found.map(({ row }) => row.id)).toEqual(["row 150", "row 151", "row 152", "row 153"]);
    await store.close();
  },
);

test("of an agent only what has an embedding of the query's dimensions is found", async () => {
  const store = await openLocalStore({ store: "dimensions", dataDir });
  const tenant = store.tenant("t");
  const rows = Array.from({ length: 60 }, (_, at) =>
    rowOf({
      id: `row ${at}`,
      agent_id: at % 3 === 0 ? "b" : "a",
      embedding: at % 2 === 0 ? Float32Array.of(1, at) : at % 5 === 0 ? null : Float32Array.of(1, at, 0),
    }),
  );
  await tenant.write(
    rows.map((row) => ({ row })),
    { outbox: false },
  );
  const found = await tenant.searchMeaning({
    embedding: Float32Array.of(1, 0),
    model: null,
    filter: { agent: "a" },
    nowMs,
    limit: 50,
  });
  const wanted = rows.filter(({ agent_id, embedding }) => agent_id === "a" && embedding?.length === 2);
  expect(found.map(({ row }) => row.id)).toEqual(wanted.map(({ id }) => id));
  await store.close();
});

test("metadata below long and deep keys is found by any part of it, and by nothing else", async () => {
  const store = await openLocalStore({ store: "long keys", dataDir });
  const tenant = store.tenant("t");
  const long = "k".repeat(400_000);
  let deep: unknown = { end: [1, "x"] };
  for (let at = 0; at < 400; at++) deep = { step: deep };
  const metadata = { [long]: Array.from({ length: 15_000 }, (_, at) => at), deep };
  await tenant.write([{ row: rowOf({ id: "a", metadata }) }, { row: rowOf({ id: "b" }) }], { outbox: false });
  await store.flush();
  const found = async (wanted: Record<string, unknown>): Promise<string[]> =>
    (await tenant.newest({ filter: { metadata: wanted }, nowMs, limit: 9 })).map(({ id }) => id);
  expect(await found({ [long]: [14_999, 0] })).toEqual(["a"]);
  expect(await found({ [long]: [15_000] })).toEqual([]);
  expect(await found({ [`${long.slice(1)}l`]: [1] })).toEqual([]);
  expect(await found({ deep })).toEqual(["a"]);
  await tenant.forget(["a"]);
  await store.flush();
  expect(await found({ deep })).toEqual([]);
  await store.close();
});
