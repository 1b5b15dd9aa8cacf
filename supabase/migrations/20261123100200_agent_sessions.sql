-- One row per process of an agent that is, or was, at work. A session that has not been seen for `timeout_seconds` is dead
-- for everything that reads sessions, whether or not somebody closed it.
create table if not exists public.agent_sessions (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id() check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text not null check (octet_length(session_id) between 1 and 255),
  agent_id text not null default federation.agent_id() check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  instance_id text check (octet_length(instance_id) <= 255),
  status text not null default 'online' check (octet_length(status) between 1 and 64),
  task text check (octet_length(task) <= 65536),
  capabilities text[] not null default '{}',
  load real,
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  started_at timestamptz not null default now(),
  last_seen_at timestamptz not null default now(),
  timeout_seconds integer not null default 90 check (timeout_seconds between 1 and 86400),
  ended_at timestamptz,
  end_reason text check (octet_length(end_reason) <= 255),
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (tenant_id, session_id)
) with (fillfactor = 80); -- a heartbeat touches no indexed column and finds room in the same page
comment on table public.agent_sessions is 'The processes of a tenant''s agents, kept alive by heartbeats.';
create index if not exists agent_sessions_open on public.agent_sessions (tenant_id, agent_id) where ended_at is null;
create index if not exists agent_sessions_agent on public.agent_sessions (tenant_id, agent_id, started_at);

-- A heartbeat alone is no news: it moves neither the cursor nor the version.
create or replace trigger stamp_insert before insert on public.agent_sessions
  for each row execute function federation.stamp();
create or replace trigger stamp_update before update on public.agent_sessions
  for each row when (
    (old.agent_id, old.instance_id, old.status, old.task, old.capabilities, old.load, old.metadata, old.started_at,
     old.timeout_seconds, old.ended_at, old.end_reason) is distinct from
    (new.agent_id, new.instance_id, new.status, new.task, new.capabilities, new.load, new.metadata, new.started_at,
     new.timeout_seconds, new.ended_at, new.end_reason))
  execute function federation.stamp();
create or replace trigger version_insert before insert on public.agent_sessions
  for each row execute function federation.count_version();
create or replace trigger version_update before update on public.agent_sessions
  for each row when (
    (old.agent_id, old.instance_id, old.status, old.task, old.capabilities, old.load, old.metadata, old.started_at,
     old.timeout_seconds, old.ended_at, old.end_reason) is distinct from
    (new.agent_id, new.instance_id, new.status, new.task, new.capabilities, new.load, new.metadata, new.started_at,
     new.timeout_seconds, new.ended_at, new.end_reason))
  execute function federation.count_version();

alter table public.agent_sessions enable row level security;
revoke all on public.agent_sessions from public, anon, authenticated, service_role;
grant select on public.agent_sessions to authenticated;
grant select, insert, update, delete on public.agent_sessions to service_role, federation_definer;

drop policy if exists "members read" on public.agent_sessions;
create policy "members read" on public.agent_sessions for select to authenticated
  using (tenant_id = (select federation.tenant_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_sessions;
create policy "functions, in the tenant they act for" on public.agent_sessions for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

create or replace function federation.session_json(session public.agent_sessions)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select to_jsonb(session) - '{row_id,tx}'::text[] $$;
do $$
begin
  perform federation.hand_out('federation.session_json', array['authenticated', 'service_role', 'federation_definer']);
end
$$;
