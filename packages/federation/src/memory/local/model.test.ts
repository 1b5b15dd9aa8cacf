import fc from "fast-check";
import { expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import type { MemoryFilter, MemoryRow } from "../memory-row.ts";
import type { LocalStore, PushResult, TenantStore } from "./local-store.ts";
import { openLocalStore } from "./open-local-store.node.ts";
import { ModelTenant } from "./testing/model-tenant.ts";
import { rowOf, tombstoneOf } from "./testing/rows.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const dataDir = temporaryFolder();

// Few of everything, so that histories meet themselves.
const id = fc.constantFrom("a", "b", "c", "é", "\u{1f600}", "\uffee");
const time = fc.integer({ min: 0, max: 9 }).map((n) => new Date(1_700_000_000_000 + n * 1000).toISOString());
const scalar = fc.constantFrom(1, 0, "1", "x", true, null);
const json = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3 },
    scalar,
    fc.array(tie("value"), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom("k", "l"), tie("value"), { maxKeys: 2 }),
  ),
})).value;
const metadata = fc.dictionary(fc.constantFrom("k", "l", "m"), json, { maxKeys: 3 });
const row: fc.Arbitrary<MemoryRow> = fc
  .record({
    id,
    agent_id: fc.constantFrom("p", "q"),
    session_id: fc.constantFrom(null, "s", "t"),
    content: fc.constantFrom("red apple", "green apple tree", "pear", ""),
    embedding: fc.option(
      fc.constantFrom(
        Float32Array.of(1, 0),
        Float32Array.of(0.5, 0.5),
        Float32Array.of(-1, 0.25),
        Float32Array.of(1, 1, 1),
      ),
    ),
    metadata,
    superseded_by: fc.option(fc.constant("z"), { freq: 6 }),
    version: fc.integer({ min: 1, max: 3 }),
    created_at: time,
    expires_at: fc.option(time, { freq: 3 }),
    hlc: fc.record({
      ms: fc.integer({ min: 1, max: 4 }),
      counter: fc.integer({ min: 0, max: 1 }),
      writer: fc.constantFrom("u", "v"),
    }),
    deletedAt: fc.option(time, { freq: 5 }),
  })
  .map(({ deletedAt, ...fields }) => {
    const living = rowOf(fields);
    return deletedAt === null ? living : tombstoneOf(living, deletedAt, fields.hlc.ms);
  });
const filter: fc.Arbitrary<MemoryFilter> = fc.record(
  {
    agent: fc.constantFrom("p", "q", "nobody"),
    session: fc.constantFrom("s", "t"),
    since: time,
    until: time,
    metadata,
  },
  { requiredKeys: [] },
);
const nowMs = time.map(Date.parse);

const step = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("write" as const),
      rows: fc.array(row, { minLength: 1, maxLength: 4 }),
      outbox: fc.boolean(),
      expect: fc.option(fc.integer({ min: 0, max: 3 })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("apply" as const),
      rows: fc.array(row, { maxLength: 4 }),
      cursor: fc.option(fc.string()),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("replace" as const), rows: fc.array(row, { maxLength: 3 }) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("settle" as const),
      results: fc.array(
        fc.record({
          nth: fc.nat(3),
          outcome: fc.constantFrom("applied" as const, "older" as const, "refused" as const),
          row,
        }),
      ),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("retry" as const, "drop" as const), nth: fc.nat(2) }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant("fact" as const),
      name: fc.constantFrom("cursor", "x"),
      value: fc.string(),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("cleanup" as const), nowMs, tombstonesBeforeMs: nowMs }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("forget" as const), ids: fc.array(id, { maxLength: 3 }) }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("flush" as const, "reopen" as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant("look" as const),
      filter,
      nowMs,
      limit: fc.integer({ min: 1, max: 4 }),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

test.each([
  ["", { numRuns: 60, threadFrom: undefined }],
  [", its tables written by a thread", { numRuns: 4, threadFrom: 5 }],
])(
  "a store does what a map of rows would do, whatever happens and whenever it is reopened%s",
  { timeout: 120_000 },
  async (how, { numRuns, threadFrom }) => {
    const options = { dataDir, maxJournalFileBytes: 2_000, threadFrom };
    let run = 0;
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const name = `model-${(run += 1)}${how}`;
        const model = new ModelTenant();
        let store = await openLocalStore({ store: name, ...options });
        try {
          for (const next of steps) {
            if (next.kind === "reopen") {
              await store.close();
              store = await openLocalStore({ store: name, ...options });
            } else await take(next, store, model);
            await compare(store.tenant("t"), model);
          }
        } finally {
          await store.close();
        }
      }),
      { numRuns, interruptAfterTimeLimit: 40_000 },
    );
  },
);

async function take(step: Step, store: LocalStore, model: ModelTenant): Promise<void> {
  const tenant = store.tenant("t");
  switch (step.kind) {
    case "reopen":
      return;
    case "write": {
      const writes = step.rows.map((each, at) =>
        at === 0 && step.expect !== null ? { row: each, expect: step.expect } : { row: each },
      );
      const isRefused = model.refuses(writes);
      const written = tenant.write(writes, { outbox: step.outbox });
      if (isRefused) await expect(written).rejects.toSatisfy((error) => isFederationError(error, "conflict"));
      else await written;
      if (!isRefused) model.write(step.rows, step.outbox);
      return;
    }
    case "apply":
      expect(await tenant.apply(step.rows, step.cursor ?? undefined)).toEqual(
        model.apply(step.rows, step.cursor ?? undefined),
      );
      return;
    case "replace":
      await tenant.replace(step.rows);
      model.replace(step.rows);
      return;
    case "settle": {
      const entries = tenant.outbox({ maxRows: 100, maxBytes: 1e9 });
      const results = step.results.flatMap(({ nth, outcome, row: answer }): PushResult[] => {
        const entry = entries[nth];
        if (entry === undefined) return [];
        const { place } = entry;
        if (outcome === "refused") return [{ outcome, place, reason: "r", code: "c" }];
        return [{ outcome, place, row: { ...answer, id: entry.row.id } }];
      });
      const byPlace = new Map(results.map((result) => [result.place, result]));
      const once = [...byPlace.values()];
      const nth = new Map(entries.map((entry, at) => [entry.place, at]));
      expect(await tenant.settle(once)).toEqual(
        model.settle(once.map((result) => ({ nth: nth.get(result.place) ?? -1, result }))),
      );
      return;
    }
    case "retry":
    case "drop": {
      const letter = tenant.deadLetters()[step.nth];
      const isThere =
        step.kind === "retry"
          ? tenant.retryDeadLetter(letter?.place ?? -1)
          : tenant.dropDeadLetter(letter?.place ?? -1);
      expect(await isThere).toBe(letter !== undefined);
      if (letter !== undefined) model.endLetter(step.nth, step.kind);
      return;
    }
    case "fact":
      await tenant.writeFact(step.name, step.value);
      model.facts.set(step.name, step.value);
      return;
    case "cleanup":
      expect(await tenant.cleanup(step)).toBe(model.cleanup(step));
      return;
    case "forget":
      await tenant.forget(step.ids);
      model.forget(step.ids);
      return;
    case "flush":
      await store.flush();
      return;
    case "look":
      await look(tenant, model, step);
      return;
  }
}

async function compare(tenant: TenantStore, model: ModelTenant): Promise<void> {
  const rows: MemoryRow[] = [];
  for await (const each of tenant.rows()) rows.push(each);
  expect(rows).toEqual(model.sortedRows());
  for (const each of rows) expect(tenant.get(each.id)).toEqual(each);
  expect(tenant.outbox({ maxRows: 100, maxBytes: 1e9 }).map((entry) => entry.row)).toEqual(
    model.outboxRows(),
  );
  expect(tenant.deadLetters().map((letter) => letter.row)).toEqual(model.letters.map((letter) => letter.row));
  for (const name of ["cursor", "x"]) expect(tenant.readFact(name)).toBe(model.facts.get(name));
  const now = 1_700_000_005_000;
  expect(tenant.counts(now)).toEqual({
    living: model.visible({}, now).length,
    pending: model.outbox.length,
    dead: model.letters.length,
  });
}

async function look(
  tenant: TenantStore,
  model: ModelTenant,
  query: { filter: MemoryFilter; nowMs: number; limit: number },
): Promise<void> {
  const { limit } = query;
  const visible = model.visible(query.filter, query.nowMs);
  const newest = await tenant.newest(query);
  expect(newest.map((each) => each.created_at)).toEqual(
    visible
      .map((each) => each.created_at)
      .sort()
      .reverse()
      .slice(0, limit),
  );
  expect(visible).toEqual(expect.arrayContaining([...newest]));

  const embedding = Float32Array.of(1, 0.1);
  const near = model.nearest(embedding, visible);
  const meant = await tenant.searchMeaning({ ...query, embedding, model: null });
  expect(meant.map(({ score }) => score.toFixed(5))).toEqual(
    near.map(({ score }) => score.toFixed(5)).slice(0, limit),
  );
  expect(visible).toEqual(expect.arrayContaining(meant.map((match) => match.row)));

  const worded = await tenant.searchWords({ ...query, limit: 100, text: "appl" });
  const expected = visible.filter(({ content }) => content.includes("apple")).map((each) => each.id);
  expect(worded.map((match) => match.row.id).sort()).toEqual(expected.sort());
}
