import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  anon,
  as,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
  postgres,
  rpc,
  rpcRows,
  service,
  sql,
  type Caller,
} from "../../../../test-support/sql-roles.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

async function whoIs(caller: Caller): Promise<readonly (string | null)[] | undefined> {
  return (await sql(database, caller, "select federation.tenant_id(), federation.agent_id()")).rows[0];
}

test("a token says tenant and agent; a user without an agent id is user.<sub>", async () => {
  expect(await whoIs(agent("t", "a"))).toEqual(["t", "a"]);
  const sub = "7d9c1b1e-3a52-4b4f-8f0b-2c7f6f6e0002";
  const user: Caller = {
    kind: "claims",
    claims: { role: "authenticated", sub, app_metadata: { tenant_id: "t" } },
  };
  expect(await whoIs(user)).toEqual(["t", `user.${sub}`]);
});

test("what a user may write about itself in user_metadata names nobody", async () => {
  const claims = {
    role: "authenticated",
    sub: "x",
    user_metadata: { tenant_id: "t", agent_id: "a" },
    tenant_id: "t",
  };
  expect(await whoIs({ kind: "claims", claims })).toEqual([null, "user.x"]);
});

test.each(["", "a:feed", "a b", "a\n", "é", "x".repeat(129), "a/../b", "*"])(
  "%j is no id, so a token that carries it sees nothing",
  async (id) => {
    const claims = { role: "authenticated", app_metadata: { tenant_id: id, agent_id: id } };
    expect(await whoIs({ kind: "claims", claims })).toEqual([null, null]);
    await expect(call(database, { kind: "claims", claims }, "list_sessions")).rejects.toMatchObject({
      code: "42501",
    });
    await expect(
      call(database, service, "list_sessions", { as_agent: "a", as_tenant: id }),
    ).rejects.toMatchObject({
      code: "22023",
    });
  },
);

test.each([
  ["an agent id that is none", { agent_id: "a:b" }, "7d9c1b1e"],
  ["an empty agent id", { agent_id: "" }, "7d9c1b1e"],
  ["neither agent id nor sub", {}, undefined],
])("a token of a tenant with %s has no tenant", async (_, named, sub) => {
  const tenant = newTenant();
  const claims = { role: "authenticated", sub, app_metadata: { tenant_id: tenant, ...named } };
  expect(await whoIs({ kind: "claims", claims })).toEqual([null, null]);
  await expect(call(database, { kind: "claims", claims }, "list_sessions")).rejects.toMatchObject({
    code: "42501",
    message:
      "the token names no agent: expected app_metadata.agent_id of 1 to 128 characters A-Z a-z 0-9 . _ @ -",
  });
});

test("set app.current_tenant works in a plain session and a token overrules it", async () => {
  const tenant = newTenant();
  await call(database, service, "store_memory", {
    memory: { id: "m", content: "x" },
    as_agent: "a",
    as_tenant: tenant,
  });
  const count = "select count(*) from public.agent_memories";
  expect((await sql(database, { kind: "plain", tenant }, count)).rows).toEqual([["1"]]);
  expect((await sql(database, { kind: "plain", tenant: newTenant() }, count)).rows).toEqual([["0"]]);
  expect((await sql(database, { kind: "plain" }, count)).rows).toEqual([["0"]]);
  const seen = await as(database, agent(newTenant(), "b"), async (session) => {
    await session.query(
      "select set_config('app.current_tenant', $1, true), set_config('federation.tenant', $1, true)",
      [tenant],
    );
    await session.query("select set_config('federation.agent', 'a', true)");
    return [
      (await session.query(count)).rows,
      (await session.query("select federation.agent_id()")).rows,
      await rpcRows(session, "query_memories"),
    ];
  });
  expect(seen).toEqual([[["0"]], [["b"]], []]);
});

test("a member names nobody but itself", async () => {
  const tenant = newTenant();
  const me = agent(tenant, "me");
  expect(await callRows(database, me, "list_sessions", { as_agent: "me", as_tenant: tenant })).toEqual([]);
  for (const other of [
    { as_agent: "other" },
    { as_tenant: "other" },
    { as_agent: "other", as_tenant: tenant },
  ]) {
    await expect(call(database, me, "list_sessions", other)).rejects.toMatchObject({ code: "42501" });
    await expect(
      call(database, me, "send_message", { id: "m", to_agent: "x", type: "t", payload: {}, ...other }),
    ).rejects.toMatchObject({
      code: "42501",
      message: expect.stringContaining(`agent me of tenant ${tenant}`) as string,
    });
  }
});

test("a service and a plain SQL session must name somebody, and act for them only as long as the call", async () => {
  const tenant = newTenant();
  for (const caller of [service, postgres]) {
    await expect(call(database, caller, "list_sessions")).rejects.toMatchObject({
      code: "42501",
      message: "no tenant: name one with as_tenant",
    });
    await expect(
      call(database, caller, "open_session", { session_id: "s", as_tenant: tenant }),
    ).rejects.toMatchObject({
      message: "no agent: name one with as_agent",
    });
    const after = await as(database, caller, async (session) => {
      await rpc(session, "open_session", { session_id: "s", as_agent: "a", as_tenant: tenant });
      return (await session.query("select federation.tenant_id(), federation.agent_id()")).rows;
    });
    expect(after).toEqual([[null, null]]);
  }
  const plain = await as(database, { kind: "plain", tenant, agent: "b" }, async (session) => {
    await rpc(session, "open_session", { session_id: "s2", as_agent: "c" });
    await rpc(session, "open_session", { session_id: "s3" });
    return await rpcRows<{ session_id: string; agent_id: string }>(session, "list_sessions");
  });
  expect(plain.toReversed().map((row) => [row.session_id, row.agent_id])).toEqual([
    ["s", "a"],
    ["s2", "c"],
    ["s3", "b"],
  ]);
});

test("a function called inside a function that acts for somebody gives that somebody back", async () => {
  const tenant = newTenant();
  await database.exec(`
    create or replace function public.notify_order() returns trigger language plpgsql as $$
    begin
      perform public.assign_task(jsonb_build_object('task_id', 'order-' || new.id, 'assigned_to', 'worker', 'description', 'pack'),
        as_agent => 'shop', as_tenant => '${tenant}');
      return null;
    end $$;
    create table public.orders (id int primary key);
    grant insert on public.orders to service_role;
    create trigger assign after insert on public.orders for each row execute function public.notify_order();`);
  await sql(database, service, "insert into public.orders values (1)");
  await expect(
    as(database, service, async (session) => {
      await session.query("insert into public.orders values (2)");
      throw new Error("order cancelled");
    }),
  ).rejects.toThrow("order cancelled");
  const inbox = await callRows(database, agent(tenant, "worker"), "pull_inbox");
  expect(inbox.map((message) => message["payload"])).toEqual([
    { task_id: "order-1", assigned_to: "worker", description: "pack", assigned_by: "shop" },
  ]);
});

const tables = [
  "agent_sessions",
  "agent_memories",
  "agent_messages",
  "agent_message_failures",
  "agent_tasks",
  "agent_task_queue",
  "agent_locks",
  "agent_events",
];

async function fill(tenant: string): Promise<void> {
  const alice = agent(tenant, "alice");
  await call(database, alice, "open_session", { session_id: "s" });
  await call(database, alice, "send_message", {
    id: "m",
    to_agent: null,
    type: "t",
    payload: { secret: 1 },
  });
  await call(database, agent(tenant, "carol"), "fail_broadcast", { id: "m", error: "x" });
  await call(database, alice, "assign_task", {
    task: { task_id: "t", assigned_to: "bob", description: "d" },
  });
  await call(database, alice, "take_lock", { name: "l", instance_id: "i" });
  await call(database, alice, "store_memory", {
    memory: { id: "k", content: "c", expires_at: "2020-01-01" },
  });
}

test.each(tables)(
  "%s: members of the tenant read it, others and anon do not, a service reads all",
  async (table) => {
    const tenant = newTenant();
    await fill(tenant);
    const count = `select count(*) > 0 from public.${table} where tenant_id = $1`;
    expect((await sql(database, agent(tenant, "carol"), count, [tenant])).rows).toEqual([["t"]]);
    expect((await sql(database, agent(newTenant(), "alice"), count, [tenant])).rows).toEqual([["f"]]);
    expect((await sql(database, service, count, [tenant])).rows).toEqual([["t"]]);
    await expect(sql(database, anon, count, [tenant])).rejects.toMatchObject({ code: "42501" });
  },
);

test.each(tables)("%s: members change nothing of another tenant, anon changes nothing", async (table) => {
  const tenant = newTenant();
  await fill(tenant);
  const rowsOf = async () =>
    (
      await database.query(
        `select jsonb_agg(to_jsonb(t) order by row_id) from public.${table} t where tenant_id = $1`,
        [tenant],
      )
    ).rows;
  const before = await rowsOf();
  const attempts = [
    `update public.${table} set tenant_id = 'mine' where tenant_id = '${tenant}'`,
    `delete from public.${table} where tenant_id = '${tenant}'`,
    `insert into public.${table} (tenant_id) values ('${tenant}')`,
    `truncate public.${table} cascade`,
  ];
  for (const caller of [agent(newTenant(), "mallory"), anon]) {
    for (const attempt of attempts) {
      await sql(database, caller, attempt).catch((error: unknown) =>
        expect(error).toMatchObject({ code: "42501" }),
      );
    }
  }
  expect(await rowsOf()).toEqual(before);
});

test.each(tables.filter((table) => table !== "agent_memories"))(
  "%s: not even members write it directly",
  async (table) => {
    const tenant = newTenant();
    await fill(tenant);
    for (const attempt of [
      `insert into public.${table} (tenant_id) values ('${tenant}')`,
      `update public.${table} set tenant_id = tenant_id`,
      `delete from public.${table}`,
    ]) {
      await expect(sql(database, agent(tenant, "alice"), attempt)).rejects.toMatchObject({ code: "42501" });
    }
  },
);

const everyFunction: readonly (readonly [name: string, args: Record<string, string | number | object>])[] = [
  ["open_session", { session_id: "s" }],
  ["heartbeat", { session_id: "s" }],
  ["update_session", { session_id: "s", status: "busy" }],
  ["close_session", { session_id: "s" }],
  ["list_sessions", {}],
  ["end_older_sessions", { session_id: "s" }],
  ["set_load", { session_id: "s", load: 0.5 }],
  ["take_inbox", { session_id: "s" }],
  ["tell_sessions", {}],
  ["sweep", {}],
  ["send_message", { id: "m", to_agent: "bob", type: "t", payload: {} }],
  ["pull_inbox", {}],
  ["pull_messages", { cursor: "x" }],
  ["cleanup_messages", {}],
  ["cleanup_events", {}],
  ["keep_messages", { days: 1 }],
  ["keep_waiting_messages", { days: 1 }],
  ["keep_events", { days: 1 }],
  ["limit_hops", { hops: 1 }],
  ["limit_messages", { per_minute: 1 }],
  ["feed_place", {}],
  ["start_feed", {}],
  ["memory_place", {}],
  ["mark_messages", { ids: ["m"], state: "handled" }],
  ["ask_receipts", { id: "m" }],
  ["deliver_messages", { ids: ["m"] as object }],
  ["undo_deliveries", { ids: ["m"] as object }],
  ["fail_message", { id: "m", error: "x", dead: "true" }],
  ["fail_broadcast", { id: "m", error: "x" }],
  ["requeue_message", { id: "m" }],
  ["get_message", { id: "m" }],
  ["list_messages", {}],
  ["assign_task", { task: { task_id: "t", assigned_to: "bob", description: "d" } }],
  ["complete_task", { task_id: "t", result: {} }],
  ["get_task", { task_id: "t" }],
  ["claim_tasks", {}],
  [
    "next_tasks",
    {
      claim_id: "7d9c1b1e-3a52-4b4f-8f0b-2c7f6f6e0003",
      ended: [{ task_id: "t", fence: 0, result: {} }] as object,
    },
  ],
  ["renew_tasks", { leases: [{ task_id: "t", fence: 0 }] as object }],
  ["fail_task", { task_id: "t", error: "x" }],
  ["cancel_task", { task_id: "t" }],
  ["requeue_task", { task_id: "t" }],
  ["report_progress", { task_id: "t", fence: 0 }],
  ["report_agent_gone", { agent: "alice", instance: "i" }],
  ["list_tasks", {}],
  ["assign_tasks", { tasks: [{ task_id: "t", assigned_to: "bob", description: "d" }] as object }],
  ["release_task", { task_id: "t", fence: 0 }],
  ["request_input", { task_id: "t", fence: 0, question: "which?" }],
  ["answer_task", { task_id: "t", answer: { is: "this" } }],
  ["take_lock", { name: "l", instance_id: "i" }],
  ["renew_lock", { name: "l", fence: 1 }],
  ["release_lock", { name: "l", fence: 1 }],
  ["get_lock", { name: "l" }],
  ["store_memory", { memory: { id: "k", content: "c" } }],
  ["store_memories", { memories: [{ id: "k", content: "c" }] as object }],
  ["query_memories", {}],
  ["search_memories", { embedding: "[1,2]" }],
  ["get_memory", { id: "k" }],
  ["delete_memory", { id: "k" }],
  [
    "push_memories",
    { memories: [{ id: "k", content: "c", hlc: { ms: 9, counter: 0, writer: "w" } }] as object },
  ],
  ["pull_memories", {}],
  ["pull_changes", { writer: "w" }],
  ["read_memories", { ids: ["k", "own"] }],
  ["find_memories", { query: { text: "c", embedding: "[1,2]" } }],
  ["delete_memories", { filter: { agent: "alice" } }],
  ["cleanup_expired_memories", {}],
  ["cleanup_tombstones", {}],
  ["keep_tombstones", { days: 1 }],
  ["new_epoch", {}],
  ["schedule_maintenance", {}],
  ["federation_stats", {}],
  ["list_events", {}],
  ["memory_index_statement", { dimensions: 3 }],
  ["delete_agent", { agent: "alice", tenant: "t" }],
  ["delete_tenant", { tenant: "t" }],
];

test.each(everyFunction)("anon may not call %s", async (name, args) => {
  await expect(call(database, anon, name, args)).rejects.toMatchObject({ code: "42501" });
});

test.each(everyFunction)(
  "%s, called from another tenant, shows and changes nothing of this one",
  async (name, args) => {
    const tenant = newTenant();
    await fill(tenant);
    const before = await everythingOf(tenant);
    const stranger = agent(newTenant(), "alice");
    const answer = await callRows(database, stranger, name, args).catch((error: unknown) => {
      expect(error).toMatchObject({ code: expect.stringMatching(/^(42501|P0002)$/) as string });
    });
    expect(JSON.stringify(answer ?? [])).not.toContain(tenant);
    expect(await everythingOf(tenant)).toEqual(before);
  },
);

/** All rows of the tenant and all that was announced in it. */
async function everythingOf(tenant: string): Promise<unknown> {
  const { rows } = await database.query(
    tables
      .map((table) => `select '${table}', to_jsonb(t)::text from public.${table} t where tenant_id = $1`)
      .concat(
        "select 'broadcast', to_jsonb(m)::text from realtime.messages m where topic like 'federation:' || $1 || '%'",
      )
      .join(" union all ") + " order by 1, 2",
    [tenant],
  );
  return rows;
}

test("every function in public is in that list", async () => {
  const { rows } = await database.query(`
    select distinct p.proname from pg_proc p where p.pronamespace = 'public'::regnamespace
      and pg_get_userbyid(p.proowner) in ('postgres', 'federation_definer') order by 1`);
  expect(rows.map(([name]) => name)).toEqual(
    [...everyFunction.map(([name]) => name), "schema_version"].toSorted(),
  );
});
