import fc from "fast-check";
import { expect, test } from "vitest";
import { PreparedStatements } from "./prepared-statements.ts";

test("a statement gets a name when it comes a second time, and keeps it", () => {
  const prepared = new PreparedStatements();
  expect(prepared.take("select 1")).toBeUndefined();
  expect(prepared.take("select 1")).toEqual({ name: "kept_1", isNew: true });
  expect(prepared.take("select 1")).toEqual({ name: "kept_1", isNew: false });
  prepared.forget("select 1");
  expect(prepared.takeStale()).toEqual(["kept_1"]);
  expect(prepared.takeStale()).toEqual([]);
  expect(prepared.take("x".repeat(30_000)) ?? prepared.take("x".repeat(30_000))).toBeUndefined();
});

test("whatever comes, Postgres keeps at most 200, and no name stands for two texts", () => {
  const step = fc.record({ sql: fc.nat(400), fails: fc.boolean(), all: fc.integer({ min: 0, max: 50 }) });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 2_000, size: "max" }), (steps) => {
      const prepared = new PreparedStatements();
      const inPostgres = new Map<string, string>();
      for (const { sql, fails, all } of steps) {
        const text = `select ${sql}`;
        const kept = prepared.take(text);
        for (const name of prepared.takeStale()) inPostgres.delete(name);
        if (kept?.isNew === true && fails) prepared.forget(text);
        else if (kept?.isNew === true) inPostgres.set(kept.name, text);
        else if (kept !== undefined) expect(inPostgres.get(kept.name)).toBe(text);
        if (all === 0) prepared.forgetAll();
        expect(inPostgres.size).toBeLessThanOrEqual(201 + 200);
      }
      for (const name of prepared.takeStale()) inPostgres.delete(name);
      expect(inPostgres.size).toBeLessThanOrEqual(200);
    }),
  );
});
