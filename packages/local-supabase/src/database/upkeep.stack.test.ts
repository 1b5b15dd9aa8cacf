import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase } from "../../../../test-support/database.ts";
import type { Database } from "./database.ts";
import { keepUp } from "./upkeep.ts";

let database: Database;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

test("tomorrow's partition is there again after upkeep", async () => {
  const tomorrow = `to_char(current_date + 1, '"realtime.messages_"YYYY_MM_DD')`;
  const [[name]] = (await database.query(`select ${tomorrow}`)).rows as [[string]];
  await database.exec(`drop table ${name}`);
  await keepUp(database);
  expect((await database.query(`select to_regclass(${tomorrow}) is null`)).rows).toEqual([["f"]]);
});

test("the embedded database checkpoints once much was written", async () => {
  if (database.kind === "native") return; // a server has a process for it
  const redo = async (): Promise<unknown> =>
    (await database.query("select redo_lsn from pg_control_checkpoint()")).rows[0]?.[0];
  const before = await redo();
  await keepUp(database);
  expect(await redo()).toBe(before);
  await database.exec("create table public.much as select repeat('x', 1000) from generate_series(1, 80000)");
  await keepUp(database);
  expect(await redo()).not.toBe(before);
});
