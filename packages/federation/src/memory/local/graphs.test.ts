import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { cosine } from "../vectors/rescore.ts";
import { seededClusters } from "../vectors/testing/vectors.ts";
import type { LocalStore } from "./local-store.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { rowOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";
import type { GraphOptions } from "./vector-folder.node.ts";

const dataDir = temporaryFolder();
const nowMs = Date.parse("2026-06-01T00:00:00Z");
const dimensions = 24;
const graphs: GraphOptions = { threshold: 800, segmentRows: 800 };

interface Opened extends AsyncDisposable {
  readonly store: LocalStore;
  readonly errors: string[];
}

async function open(name: string, more: GraphOptions = {}): Promise<Opened> {
  const errors: string[] = [];
  const log = (level: string, message: string): void => void (level === "error" && errors.push(message));
  const store = await openLocalStore({ store: name, dataDir, log, graphs: { ...graphs, ...more } });
  return { store, errors, [Symbol.asyncDispose]: () => store.close() };
}

function vectors(count: number, seed = 1): Float32Array[] {
  return Array.from({ length: count }, seededClusters(dimensions, { seed, clusters: 30 }));
}

interface Written {
  readonly embedding: readonly Float32Array[];
  readonly model?: string;
  readonly from?: number;
}

async function write(
  store: LocalStore,
  { embedding, model, from = 0 }: Written,
  tenant = "t",
): Promise<void> {
  const rows = embedding.map((each, at) =>
    rowOf({
      id: `${model ?? ""}${from + at}`,
      content: "",
      agent_id: at % 100 === 0 ? "rare" : "ann",
      embedding: each,
      embedding_model: model ?? null,
    }),
  );
  await store.tenant(tenant).write(
    rows.map((row) => ({ row })),
    { outbox: false },
  );
}

/** Resolves when a segment with this number is on the disk. */
async function built(store: LocalStore, group: string, number: number): Promise<void> {
  const folder = join(store.folder, "segments", group);
  while (!(await readdir(folder).catch((): string[] => [])).includes(`${number}.segment`))
    await new Promise(setImmediate);
}

interface Searched {
  readonly model?: string;
  readonly agent?: string;
  readonly tenant?: string;
}

/** The share of the nearest ten among `held` that searches find, as rows whose ids are their places in it. */
async function recall(
  store: LocalStore,
  held: readonly (Float32Array | undefined)[],
  { model, agent, tenant = "t" }: Searched = {},
): Promise<number> {
  let hits = 0;
  const queries = vectors(4_020).slice(4_000);
  for (const embedding of queries) {
    const found = await store.tenant(tenant).searchMeaning({
      embedding,
      model: model ?? null,
      nowMs,
      limit: 10,
      ...(agent === undefined ? {} : { filter: { agent } }),
    });
    const best = held
      .map((vector, at) => ({
        id: `${model ?? ""}${at}`,
        at,
        score: vector === undefined ? -2 : cosine(embedding, vector),
      }))
      .filter(({ at, score }) => score > -2 && (agent !== "rare" || at % 100 === 0))
      .sort((a, b) => b.score - a.score)
      .slice(0, 10);
    expect(found).toHaveLength(best.length);
    hits += best.filter(({ id }) => found.some(({ row }) => row.id === id)).length / best.length;
  }
  return hits / queries.length;
}

test("from the threshold on a store builds graphs, finds by them, and opens them again", async () => {
  const held = vectors(3_000);
  await using first = await open("grows");
  await write(first.store, { embedding: held.slice(0, 500) });
  await write(first.store, { embedding: held.slice(500), from: 500 });
  await built(first.store, `1/${dimensions}-0`, 2);
  expect(await recall(first.store, held)).toBeGreaterThanOrEqual(0.98);
  expect(await recall(first.store, held, { agent: "rare" })).toBe(1);
  await first.store.close();

  const folder = join(first.store.folder, "segments", "1", `${dimensions}-0`);
  const kept = (await readdir(folder)).filter((name) => name.endsWith(".segment"));
  expect(kept).toContain("1.segment");
  await using again = await open("grows");
  expect(await recall(again.store, held)).toBeGreaterThanOrEqual(0.98);
  expect(await readdir(folder)).toEqual(expect.arrayContaining(kept));
  expect([first.errors, again.errors]).toEqual([[], []]);
});

test("while a graph is built, writes and searches go on, and what was overwritten or deleted is not found as it was", async () => {
  const held: (Float32Array | undefined)[] = vectors(2_000);
  await using opened = await open("busy");
  const { store } = opened;
  await write(store, { embedding: held.filter((vector) => vector !== undefined) });
  let isBuilding = true;
  const building = built(store, `1/${dimensions}-0`, 1).then(() => (isBuilding = false));
  const fresh = vectors(400, 7);
  for (let round = 0; round < 400 && (isBuilding || round < 100); round++) {
    const at = (round * 17) % 2_000;
    if (round % 4 === 0) {
      await store.tenant("t").forget([String(at)]);
      held[at] = undefined;
    } else {
      const embedding = fresh[round] ?? new Float32Array(dimensions);
      await write(store, { embedding: [embedding], from: at });
      held[at] = embedding;
    }
    await new Promise(setImmediate);
  }
  await building;
  expect(await recall(store, held)).toBeGreaterThanOrEqual(0.98);
  expect(opened.errors).toEqual([]);
});

test("models and tenants have graphs of their own, and none is searched for another", async () => {
  const [a, b, c] = [vectors(1_000, 1), vectors(1_000, 2), vectors(1_000, 3)];
  await using opened = await open("apart");
  const { store } = opened;
  await write(store, { embedding: a });
  await write(store, { embedding: b, model: "m" });
  await write(store, { embedding: c }, "u");
  // Agents and models are numbered together: the two agents came first.
  for (const group of [`1/${dimensions}-0`, `1/${dimensions}-3`, `2/${dimensions}-0`])
    await built(store, group, 1);
  expect(await recall(store, a)).toBeGreaterThanOrEqual(0.98);
  expect(await recall(store, b, { model: "m" })).toBeGreaterThanOrEqual(0.98);
  expect(await recall(store, c, { tenant: "u" })).toBeGreaterThanOrEqual(0.98);
});

test("without the optional package nothing is built, and everything is compared", async () => {
  const held = vectors(1_500);
  await using opened = await open("without", { loadUsearch: () => undefined });
  await write(opened.store, { embedding: held });
  expect(await recall(opened.store, held)).toBe(1);
  expect(await readdir(opened.store.folder)).not.toContain("segments");
  expect(opened.errors).toEqual([]);
});

test("damaged graphs, and what a crash left of one, cost the time to build them again and no answer", async () => {
  const held = vectors(1_500);
  const first = await open("damaged");
  await write(first.store, { embedding: held });
  await built(first.store, `1/${dimensions}-0`, 2); // so the first is in use, and closing leaves it
  await first.store.close();
  const folder = join(first.store.folder, "segments", "1", `${dimensions}-0`);
  const [name = ""] = (await readdir(folder)).filter((each) => each.endsWith(".graph"));
  const bytes = await readFile(join(folder, name));
  bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 8;
  await writeFile(join(folder, name), bytes);
  await writeFile(join(folder, "77.graph.part"), "half of one");
  // Of a model that this tenant never had, as after a tenant that the tables never knew.
  await mkdir(join(folder, "..", `${dimensions}-9`));

  await using again = await open("damaged");
  expect(again.errors).toEqual(["a damaged vector segment is removed and will be built again"]);
  expect(await readdir(join(folder, ".."))).toEqual([`${dimensions}-0`]);
  expect(await readdir(folder)).not.toContain("77.graph.part");
  expect(await recall(again.store, held)).toBeGreaterThanOrEqual(0.98);
});

test("a store that is closed while it builds opens again with everything", async () => {
  const held = vectors(2_500);
  const first = await open("closed");
  await write(first.store, { embedding: held });
  await first.store.close();
  await using again = await open("closed");
  expect(await recall(again.store, held)).toBeGreaterThanOrEqual(0.98);
  expect([first.errors, again.errors]).toEqual([[], []]);
});
