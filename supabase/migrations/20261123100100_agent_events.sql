-- What happened in a tenant: who, what, when, to whom; never what was said. Written by the triggers of the other tables.
create table if not exists public.agent_events (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text,
  kind text not null,
  subject text,
  peer text,
  -- About an agent-scoped memory: only that agent reads it.
  private boolean not null default false,
  created_at timestamptz not null default now(),
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq')
);
comment on table public.agent_events is 'Who did what and when in a tenant, without content.';
create index if not exists agent_events_tenant_seq on public.agent_events (tenant_id, seq);
create index if not exists agent_events_tenant_agent on public.agent_events (tenant_id, agent_id);

alter table public.agent_events enable row level security;
revoke all on public.agent_events from public, anon, authenticated, service_role;
grant select on public.agent_events to authenticated;
grant select, insert, update, delete on public.agent_events to service_role, federation_definer;

drop policy if exists "members read" on public.agent_events;
create policy "members read" on public.agent_events for select to authenticated
  using (tenant_id = (select federation.tenant_id()) and (not private or agent_id = (select federation.agent_id())));
drop policy if exists "functions, in the tenant they act for" on public.agent_events;
create policy "functions, in the tenant they act for" on public.agent_events for all to federation_definer
  using (tenant_id = (select federation.tenant_id()))
  -- Triggers write events for whatever row was written, also when the service role wrote it without naming a tenant.
  with check (true);
