/** A machine that was away for longer than the database keeps tombstones. */
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { isRecord } from "../../runtime/json.ts";
import { startTcpProxy } from "../../testing/tcp-proxy.node.ts";
import type { SupabaseFederationAdapter } from "../../supabase-adapter.ts";
import { freshTenant, serviceClient, startStack } from "../testing/start-stack.node.ts";
import { BackendFixture, memoryOf } from "./testing/backend-fixture.node.ts";

let fixture: BackendFixture;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "federation-retention-"));
  await cp(fileURLToPath(new URL("../../../../../supabase/migrations/", import.meta.url)), folder, {
    recursive: true,
  });
  await writeFile(join(folder, "29990101000000_days_pass.sql"), daysPass);
  fixture = new BackendFixture(await startStack({ migrationsDir: folder }));
});
afterEach(() => fixture?.afterEach());
afterAll(async () => {
  await fixture?.stack.close();
  await rm(folder, { recursive: true, force: true });
});

/** As if a tenant's rows had last been changed so many days earlier. */
const daysPass = `
create or replace function public.days_pass(tenant text, days int) returns void
language plpgsql security definer set search_path = '' as $$
begin
  alter table public.agent_memories disable trigger prepare;
  update public.agent_memories set updated_at = updated_at - make_interval(days => days) where tenant_id = tenant;
  alter table public.agent_memories enable trigger prepare;
end $$;
revoke all on function public.days_pass(text, int) from public, anon, authenticated;
grant execute on function public.days_pass(text, int) to service_role;
`;

const heldBy = async (adapter: SupabaseFederationAdapter, tenant: string): Promise<string[]> =>
  (await adapter.queryMemories(tenant)).map(({ id, content }) => `${id} ${content}`).toSorted();

test("a machine that comes back after the tombstones are gone loses what was deleted, and brings what it wrote", async () => {
  const tenant = freshTenant();
  const proxy = await startTcpProxy(fixture.stack.url);
  const dataDir = await fixture.folder();
  let resets = 0;
  const counting: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    const url = input instanceof Request ? input.url : String(input);
    const answer: unknown = url.includes("/rpc/pull_") ? await response.clone().json() : undefined;
    if (isRecord(answer) && answer["reset"] === true) resets += 1;
    return response;
  };
  const open = (): Promise<SupabaseFederationAdapter> =>
    fixture.open("hybrid", { url: proxy.url, dataDir, fetch: counting });
  const [desk, before] = [await fixture.open("hybrid"), await open()];
  const ids = ["kept", "changed", "deleted", "deleted and edited", "edited", "deleted here"];
  for (const id of ids) await desk.storeMemory(memoryOf(tenant, { id, content: "at first" }));
  await desk.sync({ tenant });
  while ((await before.queryMemories(tenant)).length < ids.length) await before.sync({ tenant });

  proxy.refuse();
  await before.storeMemory(memoryOf(tenant, { id: "edited", content: "while away" }));
  await before.storeMemory(memoryOf(tenant, { id: "new", content: "while away" }));
  await before.deleteMemory("deleted here", tenant);
  await before.shutdown();
  await desk.storeMemory(memoryOf(tenant, { id: "changed", content: "meanwhile" }));
  for (const id of ["deleted", "deleted and edited"]) await desk.deleteMemory(id, tenant);
  await desk.sync({ tenant });
  const away = await open();
  await away.storeMemory(memoryOf(tenant, { id: "deleted and edited", content: "after that" }));

  const service = serviceClient(fixture.stack);
  expect((await service.rpc("days_pass", { tenant, days: 31 })).error).toBeNull();
  expect(await service.rpc("cleanup_tombstones")).toMatchObject({ error: null, data: 2 });
  const rows = await service.from("agent_memories").select("id").eq("tenant_id", tenant);
  expect(rows.data?.map(({ id }) => String(id)).toSorted()).toEqual([
    "changed",
    "deleted here",
    "edited",
    "kept",
  ]);

  expect(resets).toBe(0);
  proxy.restore();
  const expected = [
    "changed meanwhile",
    "deleted and edited after that",
    "edited while away",
    "kept at first",
    "new while away",
  ];
  for (const adapter of [away, desk, away]) await adapter.sync({ tenant });
  expect(resets).toBe(1);
  expect(away.syncState).toMatchObject({ pending: 0, deadLetters: 0 });
  while ((await heldBy(desk, tenant)).length !== expected.length) await desk.sync({ tenant });
  const direct = await fixture.open("pgvector");
  for (const adapter of [away, desk, direct]) expect(await heldBy(adapter, tenant)).toEqual(expected);
  await proxy.close();
});
