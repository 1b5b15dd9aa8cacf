import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { openTestDatabase } from "../../../../../test-support/database.ts";
import type { Database } from "../database.ts";
import { applyMigrations } from "./apply-migrations.ts";

let database: Database;
let folder: string;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "migrations-"));
});
afterEach(async () => {
  rmSync(folder, { recursive: true });
  await database.exec("drop schema if exists supabase_migrations cascade; drop schema if exists app cascade");
});

function write(file: string, script: string): void {
  writeFileSync(join(folder, file), script);
}

test("files are applied once each, in order, as postgres, and recorded", async () => {
  write("20260102000000_second.sql", "insert into app.log values ('second', current_user);");
  write(
    "20260101000000_first.sql",
    "-- the first\ncreate schema app;\ncreate table app.log (what text, who text);",
  );
  write("README.md", "not a migration");
  expect(await applyMigrations(database, folder)).toEqual([
    "20260101000000_first.sql",
    "20260102000000_second.sql",
  ]);
  expect(await applyMigrations(database, folder)).toEqual([]);
  expect((await database.query("select * from app.log")).rows).toEqual([["second", "postgres"]]);
  const recorded = await database.query(
    "select version, name, array_length(statements, 1), statements[1] from supabase_migrations.schema_migrations order by 1",
  );
  expect(recorded.rows).toEqual([
    ["20260101000000", "first", "2", "create schema app"],
    ["20260102000000", "second", "1", "insert into app.log values ('second', current_user)"],
  ]);
});

test("a changed file that was applied before is named", async () => {
  write("20260101000000_first.sql", "create schema app;");
  await applyMigrations(database, folder);
  write("20260101000000_first.sql", "create schema app;\r\n");
  await expect(applyMigrations(database, folder)).rejects.toMatchObject({
    code: "migration-changed",
    message: expect.stringContaining("20260101000000_first.sql"),
  });
});

test("line ends of another system are no change", async () => {
  write("20260101000000_first.sql", "create schema app;\n");
  await applyMigrations(database, folder);
  write("20260101000000_first.sql", "create schema app;\r\n");
  expect(await applyMigrations(database, folder)).toEqual([]);
});

test("a failing file leaves nothing behind and says where and why", async () => {
  write("20260101000000_first.sql", "create schema app;");
  write("20260102000000_broken.sql", "create table app.a (n int);\n\ncreate table app.b (\n  n intt);");
  await expect(applyMigrations(database, folder)).rejects.toMatchObject({
    code: "migration-failed",
    message: '20260102000000_broken.sql:4:5: type "intt" does not exist (42704)',
  });
  expect((await database.query("select to_regclass('app.a'), to_regnamespace('app') is null")).rows).toEqual([
    [null, "f"],
  ]);
  write("20260102000000_broken.sql", "create table app.b (n int);");
  expect(await applyMigrations(database, folder)).toEqual(["20260102000000_broken.sql"]);
});

test("an extension that Supabase lets postgres create can be created", async () => {
  write(
    "20260101000000_ext.sql",
    "create schema app; CREATE EXTENSION IF NOT EXISTS citext WITH SCHEMA app; create table app.t (x app.citext);",
  );
  expect(await applyMigrations(database, folder)).toHaveLength(1);
  const { rows } = await database.query(
    "select pg_get_userbyid(relowner) from pg_class where oid = 'app.t'::regclass",
  );
  expect(rows).toEqual([["postgres"]]);
});

test("what a script sets for its session ends with it", async () => {
  const before = await database.query("select session_user, current_user, current_setting('search_path')");
  write(
    "20260101000000_dump.sql",
    "begin; select pg_catalog.set_config('search_path', '', false); set role anon; reset role; set session authorization postgres; create schema app; commit;",
  );
  await applyMigrations(database, folder);
  expect(await database.query("select session_user, current_user, current_setting('search_path')")).toEqual(
    before,
  );
  expect((await database.query("select to_regnamespace('app') is null")).rows).toEqual([["f"]]);
});

test("two that apply the same folder at once apply it once", async () => {
  write("20260101000000_first.sql", "create schema app; create table app.once (n int);");
  const applied = await Promise.all([applyMigrations(database, folder), applyMigrations(database, folder)]);
  expect(applied.flat()).toEqual(["20260101000000_first.sql"]);
});

test("two files of one version are refused, and so is a missing folder", async () => {
  write("20260101000000_a.sql", "select 1");
  write("20260101000000_b.sql", "select 1");
  await expect(applyMigrations(database, folder)).rejects.toMatchObject({ code: "migration-failed" });
  await expect(applyMigrations(database, join(folder, "missing"))).rejects.toMatchObject({ code: "option" });
});
