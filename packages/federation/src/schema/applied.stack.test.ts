import { readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { expect, test } from "vitest";
import { applyMigrations } from "../../../local-supabase/src/database/migrations/apply-migrations.ts";
import { openTestDatabase } from "../../../../test-support/database.ts";
import { migrationsDir, pasteableText, schemaFiles } from "../../../../test-support/sql-files.ts";
import { newTenant, openFederationDatabase, service, call } from "../../../../test-support/sql-roles.ts";
import { describeSchema } from "../../../../test-support/sql-schema.ts";
import { schemaVersion } from "../connection/schema-check.ts";

test("the kept dump, the file to paste and the types are what the migrations make (node --import tsx scripts/schema-write.ts)", async () => {
  for (const { path, text } of await schemaFiles()) {
    expect(readFileSync(path, "utf8"), relative(process.cwd(), path)).toBe(text);
  }
});

test("running all migrations again, and the pasted file after that, changes nothing", async () => {
  await using database = disposable(await openFederationDatabase());
  const tenant = newTenant();
  await call(database, service, "store_memory", {
    memory: { id: "m", agent_id: "a", content: "kept" },
    as_tenant: tenant,
  });
  const before = await describeSchema(database);
  await database.exec("delete from supabase_migrations.schema_migrations");
  expect((await applyMigrations(database, migrationsDir)).length).toBeGreaterThan(5);
  expect(await describeSchema(database)).toBe(before);
  await database.exec(`set session authorization postgres; ${pasteableText()} reset session authorization;`);
  expect(await describeSchema(database)).toBe(before);
  expect(await call(database, service, "get_memory", { id: "m", as_tenant: tenant })).toMatchObject({
    content: "kept",
    version: 1,
  });
});

test("the schema applies where pgvector already lives in public", async () => {
  await using database = disposable(await openTestDatabase());
  await database.exec("drop extension if exists vector; create extension vector with schema public");
  await applyMigrations(database, migrationsDir);
  const tenant = newTenant();
  await call(database, service, "store_memory", {
    memory: { id: "m", content: "x", embedding: [1, 0] },
    as_agent: "a",
    as_tenant: tenant,
  });
  const found = await call(database, service, "search_memories", {
    embedding: "[1,0]",
    as_agent: "a",
    as_tenant: tenant,
  });
  expect(found).toMatchObject({ id: "m", similarity: 1 });
  const { rows } = await database.query("select public.memory_index_statement(2)");
  await database.exec(rows[0]?.[0] ?? "");
  expect(
    await call(database, service, "search_memories", {
      embedding: "[1,0]",
      as_agent: "a",
      as_tenant: tenant,
    }),
  ).toMatchObject({ id: "m", similarity: 1 });
});

test("a project that grants everything to everybody by default ends up with the same rights", async () => {
  const kept = readFileSync(join(migrationsDir, "..", "schema.sql"), "utf8");
  await using database = disposable(await openTestDatabase());
  await database.exec(`
    alter default privileges for role postgres in schema public grant all on tables to anon, authenticated, service_role;
    alter default privileges for role postgres in schema public grant all on sequences to anon, authenticated, service_role;
    alter default privileges for role postgres in schema public grant all on functions to anon, authenticated, service_role;`);
  await applyMigrations(database, migrationsDir);
  expect(await describeSchema(database)).toBe(kept);
});

// What touches realtime.messages, what uses indexes that policies shut off, and what serves all tenants.
const ofPostgres = new Set([
  "announce",
  "forget_broadcasts",
  "matches",
  "schedule_maintenance",
  "tenants_with_messages",
  "tenants_with_events",
  "tenants_with_old_tombstones",
]);

test("the version is the library's, and nothing of ours but that can be called by anon; definers are pinned and have their owner", async () => {
  await using database = disposable(await openFederationDatabase());
  expect(await call(database, { kind: "anon" }, "schema_version")).toBe(schemaVersion);
  const { rows } = await database.query(`
    select p.oid::regprocedure::text from pg_proc p
    where p.pronamespace in ('public'::regnamespace, 'federation'::regnamespace)
      and has_function_privilege('anon', p.oid, 'execute') and p.proname <> 'schema_version'
      and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`);
  expect(rows).toEqual([]);
  const definers = await database.query(`
    select p.proname, pg_get_userbyid(p.proowner), p.proconfig is not null from pg_proc p
    where p.pronamespace in ('public'::regnamespace, 'federation'::regnamespace) and p.prosecdef order by 1`);
  for (const [name, owner, isPinned] of definers.rows) {
    expect([name, isPinned]).toEqual([name, "t"]);
    const isOfPostgres = typeof name === "string" && ofPostgres.has(name);
    expect([name, owner]).toEqual([name, isOfPostgres ? "postgres" : "federation_definer"]);
  }
  expect(definers.rows.length).toBeGreaterThan(10);
  const bypass = await database.query(
    "select rolbypassrls, rolcanlogin, rolsuper from pg_roles where rolname = 'federation_definer'",
  );
  expect(bypass.rows).toEqual([["f", "f", "f"]]);
});

function disposable<T extends { close(): Promise<void> }>(database: T): T & AsyncDisposable {
  return Object.assign(database, { [Symbol.asyncDispose]: () => database.close() });
}
