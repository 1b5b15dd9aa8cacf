import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { startLocalSupabase } from "../start-local-supabase.ts";
import { openPglite } from "./open-pglite.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "extensions-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

test("an extension that a migration creates is there, at the next start without that migration as well", async () => {
  const [dataDir, migrationsDir] = [join(folder, "data"), join(folder, "migrations")];
  mkdirSync(migrationsDir);
  const script = `create extension citext with schema extensions;
    create table public.words (word extensions.citext primary key);
    insert into public.words values ('Word'); grant select on public.words to service_role;`;
  writeFileSync(join(migrationsDir, "20260101000000_words.sql"), script);
  for (const options of [{ migrationsDir }, {}]) {
    const stack = await startLocalSupabase({ port: 0, dataDir, ...options });
    const url = `${stack.url}/rest/v1/words?word=eq.WORD`;
    const found = await fetch(url, { headers: { apikey: stack.serviceRoleKey } });
    expect(await found.json()).toEqual([{ word: "Word" }]);
    await stack.close();
  }
});

test("an extension that nobody named is not there, which a database says", async () => {
  const database = await openPglite({ extensions: [] });
  await expect(database.query("create extension citext")).rejects.toThrow(
    'extension "citext" is not available',
  );
  await database.close();
});
