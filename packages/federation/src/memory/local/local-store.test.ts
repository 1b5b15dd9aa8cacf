import { expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { rowOf, tombstoneOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();
const nowMs = Date.parse("2026-06-01T00:00:00Z");

test("what was written is there after closing and opening again, whole", async () => {
  const row = rowOf({
    id: "größe/😀",
    content: "text with \u2028 and \ud83d\ude00",
    embedding: Float32Array.of(0.25, -1.5, 3),
    embedding_model: "m",
    session_id: "s",
    metadata: { a: [1, { b: null }], __proto__x: true },
    source: { from: ["x"] },
    scope: "agent",
    supersedes: "other",
    expires_at: "2027-01-01T00:00:00.123456+00:00",
  });
  const store = await openLocalStore({ store: "whole", dataDir });
  await store.tenant("t").write([{ row }], { outbox: true });
  expect(store.tenant("t").get(row.id)).toEqual(row);
  await store.close();

  const again = await openLocalStore({ store: "whole", dataDir });
  const tenant = again.tenant("t");
  expect(tenant.get(row.id)).toEqual(row);
  expect(tenant.outbox({ maxRows: 10, maxBytes: 1e6 }).map((entry) => entry.row)).toEqual([row]);
  expect(tenant.counts(nowMs)).toEqual({ living: 1, pending: 1, dead: 0 });
  expect(again.tenant("other").get(row.id)).toBeUndefined();
  await again.close();
});

test("a write with a wrong expected version is refused as a whole, naming both versions", async () => {
  await using store = await opened("versions");
  const tenant = store.tenant("t");
  await tenant.write([{ row: rowOf({ id: "a", version: 3 }), expect: 0 }], { outbox: false });
  const refused = tenant.write(
    [
      { row: rowOf({ id: "b" }), expect: 0 },
      { row: rowOf({ id: "a", version: 4 }), expect: 2 },
    ],
    { outbox: false },
  );
  await expect(refused).rejects.toThrow(/expected version 2, found version 3/);
  await expect(refused).rejects.toSatisfy((error) => isFederationError(error, "conflict"));
  expect(tenant.get("b")).toBeUndefined();
});

test("of two writers that expect the same version one is refused, though neither was acknowledged yet", async () => {
  await using store = await opened("race");
  const tenant = store.tenant("t");
  const results = await Promise.allSettled([
    tenant.write([{ row: rowOf({ id: "a", content: "first" }), expect: 0 }], { outbox: false }),
    tenant.write([{ row: rowOf({ id: "a", content: "second" }), expect: 0 }], { outbox: false }),
  ]);
  expect(results.map((result) => result.status)).toEqual(["fulfilled", "rejected"]);
  expect(tenant.get("a")?.content).toBe("first");
});

test("what could not be found again is refused at the door", async () => {
  await using store = await opened("door");
  const tenant = store.tenant("t");
  for (const embedding of [[Number.NaN], [Infinity, 1], [0, 0], []]) {
    const row = rowOf({ id: "a", embedding: Float32Array.from(embedding) });
    await expect(tenant.write([{ row }], { outbox: false })).rejects.toSatisfy((error) =>
      isFederationError(error, "invalid_argument"),
    );
  }
  const large = rowOf({ id: "a", content: "x".repeat(1024 * 1024 + 1) });
  await expect(tenant.write([{ row: large }], { outbox: false })).rejects.toSatisfy((error) =>
    isFederationError(error, "too_large"),
  );
  await tenant.write([{ row: rowOf({ id: "é".repeat(127), content: "x".repeat(1024 * 1024) }) }], {
    outbox: false,
  });
  expect(tenant.counts(nowMs).living).toBe(1);
});

test("a search compares vectors of one dimension and one model only", async () => {
  await using store = await opened("models");
  const tenant = store.tenant("t");
  const vector = Float32Array.of(1, 2);
  await tenant.write(
    [
      { row: rowOf({ id: "none", embedding: vector }) },
      { row: rowOf({ id: "m", embedding: vector, embedding_model: "m" }) },
      { row: rowOf({ id: "three", embedding: Float32Array.of(1, 2, 3) }) },
    ],
    { outbox: false },
  );
  const found = async (model: string | null): Promise<string[]> =>
    (await tenant.searchMeaning({ embedding: vector, model, nowMs, limit: 9 })).map(({ row }) => row.id);
  expect(await found(null)).toEqual(["none"]);
  expect(await found("m")).toEqual(["m"]);
  expect(await found("n")).toEqual([]);
});

test("expired, superseded and deleted rows are never found, however near they are", async () => {
  await using store = await opened("gone");
  const tenant = store.tenant("t");
  const rows = Array.from({ length: 200 }, (_, n) =>
    rowOf({
      id: `near-${n}`,
      content: "word",
      embedding: Float32Array.of(1, 0.001 * n),
      expires_at: "2026-02-01T00:00:00Z",
    }),
  );
  const far = rowOf({ id: "far", content: "word", embedding: Float32Array.of(-1, 0.2) });
  const superseded = rowOf({
    id: "old",
    content: "word",
    embedding: Float32Array.of(1, 0),
    superseded_by: "far",
  });
  const deleted = tombstoneOf(rowOf({ id: "deleted" }), "2026-01-02T00:00:00Z", 2);
  await tenant.write(
    [...rows, far, superseded, deleted].map((row) => ({ row })),
    { outbox: false },
  );
  const embedding = Float32Array.of(1, 0);
  const meant = await tenant.searchMeaning({ embedding, model: null, nowMs, limit: 3 });
  expect(meant.map(({ row }) => row.id)).toEqual(["far"]);
  const worded = await tenant.searchWords({ text: "wor", nowMs, limit: 3 });
  expect(worded.map(({ row }) => row.id)).toEqual(["far"]);
  expect((await tenant.newest({ nowMs, limit: 3 })).map(({ id }) => id)).toEqual(["far"]);
  expect(tenant.get("old")).toEqual(superseded);
  expect(tenant.get("deleted")).toEqual(deleted);
  const before = Date.parse("2026-01-15T00:00:00Z");
  expect(await tenant.searchMeaning({ embedding, model: null, nowMs: before, limit: 5 })).toHaveLength(5);
});

test("a search for words does not wait for writers to pause", async () => {
  await using store = await opened("words-and-writers");
  const tenant = store.tenant("t");
  await tenant.write([{ row: rowOf({ id: "a", content: "needle" }) }], { outbox: false });
  let isSearching = true;
  const writing = [1, 2, 3, 4].map(async (writer) => {
    for (let at = 0; isSearching; at++)
      await tenant.write([{ row: rowOf({ id: `${writer}-${at}`, content: "hay" }) }], { outbox: false });
  });
  const found = await tenant.searchWords({ text: "needle", nowMs, limit: 1 });
  isSearching = false;
  await Promise.all(writing);
  expect(found.map((match) => match.row.id)).toEqual(["a"]);
});

test("words are found as soon as they are acknowledged, and no longer once they are overwritten", async () => {
  await using store = await opened("words");
  const tenant = store.tenant("t");
  const found = async (text: string): Promise<string[]> =>
    (await tenant.searchWords({ text, nowMs, limit: 9 })).map(({ row }) => row.id);
  await tenant.write([{ row: rowOf({ id: "a", content: "apples and pears" }) }], { outbox: false });
  expect(await found("pea")).toEqual(["a"]);
  await tenant.write([{ row: rowOf({ id: "a", content: "apples and plums" }) }], { outbox: false });
  expect(await found("pea")).toEqual([]);
  expect(await found("plums")).toEqual(["a"]);
});

async function opened(store: string): Promise<Awaited<ReturnType<typeof openLocalStore>> & AsyncDisposable> {
  const found = await openLocalStore({ store, dataDir });
  return Object.assign(found, { [Symbol.asyncDispose]: () => found.close() });
}

test("after opening again all rows are found, however many slots between them nothing holds", async () => {
  const store = await openLocalStore({ store: "gaps", dataDir });
  const rows = Array.from({ length: 700 }, (_, at) =>
    rowOf({ id: `${at}`, embedding: Float32Array.of(1, at) }),
  );
  const isKept = (at: number): boolean => at >= 300 && (at < 400 ? at % 3 === 0 : at !== 500 && at !== 699);
  const kept = rows.filter((_, at) => isKept(at));
  for (const tenant of [store.tenant("t"), store.tenant("u")]) {
    await tenant.write(
      rows.map((row) => ({ row })),
      { outbox: false },
    );
    await tenant.write(
      rows
        .filter((_, at) => !isKept(at))
        .map((row) => ({ row: tombstoneOf(row, "2026-01-02T00:00:00.000Z", 2) })),
      { outbox: false },
    );
    await tenant.cleanup({ nowMs, tombstonesBeforeMs: nowMs });
  }
  await store.close();
  const again = await openLocalStore({ store: "gaps", dataDir });
  for (const tenant of [again.tenant("t"), again.tenant("u")]) {
    const embedding = Float32Array.of(1, 0);
    const found = await tenant.searchMeaning({ embedding, model: null, nowMs, limit: 1_000 });
    expect(found.map(({ row }) => row.id)).toEqual(kept.map(({ id }) => id));
  }
  await again.close();
});
