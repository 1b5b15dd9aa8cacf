import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createClient } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { resolveTransport } from "../connection/transport.ts";
import { serviceClient } from "../memory/testing/start-stack.node.ts";
import { next, useHubBench } from "../testing/hub-bench.node.ts";

const page = readFileSync(new URL("../../../../docs/from-sql.md", import.meta.url), "utf8");

/** The SQL that the page prints under a heading. */
function printed(heading: string): string {
  const section = page.slice(page.indexOf(`## ${heading}`));
  const [, sql] = /```sql\n([\s\S]*?)```/.exec(section) ?? [];
  if (sql === undefined) throw new Error(`docs/from-sql.md: no SQL under ${heading}`);
  return sql;
}

/** What a checkout does that fails after the order was written; and a statement of the page as a function, to be called over REST. */
const sql = `
  ${printed("A trigger")}
  grant select, insert on public.orders to service_role;
  grant insert on public.orders to authenticated;
  create policy "customers order" on public.orders for insert to authenticated with check (true);
  create function public.fail_checkout(id text, tenant text) returns void language plpgsql as $$
  begin
    insert into public.orders (id, tenant_id, items) values (fail_checkout.id, tenant, '["never"]');
    raise exception 'the payment failed';
  end $$;
  create function public.restock(tenant text) returns void language plpgsql as $$
  begin
    execute replace(${literal(printed("A message"))}, 'my-team', tenant);
  end $$;`;
const bench = useHubBench({ sql });

function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

test("an order that is inserted assigns a task by trigger: committed, a waiting worker runs it; rolled back, nobody hears", async () => {
  const supabase = serviceClient(bench.stack);
  const [shop, packer] = [
    await bench.open("shop"),
    await bench.open("packer", { capabilities: ["packing"] }),
  ];
  const heard: string[] = [];
  packer.on("task:assigned", ({ task_id }) => void heard.push(task_id));
  const stop = new AbortController();
  const ran = new Promise((resolve) => {
    const ended = packer.work(({ row }) => resolve(row["items"]), { signal: stop.signal });
    bench.defer(() => ended);
  });
  const failed = await supabase.rpc("fail_checkout", { id: "1", tenant: bench.tenant });
  expect(failed.error).toMatchObject({ message: "the payment failed" });
  const completed = next(shop, "task:completed");
  const order = { id: "2", tenant_id: bench.tenant, items: ["tea", "cups"] };
  expect((await supabase.from("orders").insert(order)).error).toBeNull();
  expect(await ran).toEqual(["tea", "cups"]);
  expect(await completed).toMatchObject({ task_id: "order-2", assigned_by: "shop", agent: "packer" });
  expect(heard).toEqual(["order-2"]);
  expect(await shop.getTask("order-1")).toBeUndefined();
  stop.abort();
});

test("whoever orders need not be an agent, and says nothing else in its name", async () => {
  const { url, anonKey } = bench.stack;
  const accessToken = await bench.stack.mintToken({ role: "authenticated", sub: randomUUID() });
  const customer = createClient(url, anonKey, {
    accessToken: async () => accessToken,
    realtime: { transport: await resolveTransport() },
  });
  const shop = await bench.open("shop");
  const assigned = next(shop, "task:assigned");
  expect(
    (await customer.from("orders").insert({ id: "3", tenant_id: bench.tenant, items: [] })).error,
  ).toBeNull();
  expect(await assigned).toMatchObject({ task_id: "order-3", assigned_by: "shop" });
  const task = { task_id: "free", description: "d", assigned_to: null };
  const asShop = { task, as_agent: "shop", as_tenant: bench.tenant };
  expect((await customer.rpc("assign_task", asShop)).error).toMatchObject({ code: "42501" });
});

test("a message sent in SQL reaches its agent", async () => {
  const ann = await bench.open("ann");
  const message = next(ann, "message:restock");
  expect((await serviceClient(bench.stack).rpc("restock", { tenant: bench.tenant })).error).toBeNull();
  expect(await message).toMatchObject({ from_agent: "shop", payload: { item: "tea" } });
});
