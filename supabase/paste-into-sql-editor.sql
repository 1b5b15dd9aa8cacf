-- Generated from supabase/migrations by scripts/schema-write.ts; do not edit.
-- For those without the Supabase CLI: paste all of it into the SQL editor and run it. Running it again changes nothing.
begin;

-- 20261123100000_federation_foundation.sql
-- The schema `federation`: who is asking, the cursor of whoever catches up, and how functions are handed to their callers.
-- Runs as the `postgres` of a Supabase project, which is no superuser. Every file here can run again and changes nothing.

create schema if not exists federation;
comment on schema federation is 'Helpers of the agent federation. Nothing in here is reachable over the API.';

-- pgvector may be there before us, in `extensions` or in `public`: its catalog entry says where.
create schema if not exists extensions;
create extension if not exists vector with schema extensions;

-- Security definer functions belong to this role, not to `postgres`: it has no BYPASSRLS, so it passes the policies.
do $$
begin
  if not exists (select from pg_roles where rolname = 'federation_definer') then
    begin
      create role federation_definer nologin;
    exception when duplicate_object or unique_violation then
      -- Another database of this cluster was faster. Touching a catalog that was not touched yet is what makes its role known here.
      perform from pg_auth_members limit 1;
    end;
  end if;
  if not pg_has_role(current_user, 'federation_definer', 'usage') then
    grant federation_definer to current_user;
  end if;
end
$$;

grant usage on schema federation to authenticated, service_role, federation_definer;
grant usage on schema public to authenticated, service_role, federation_definer;
-- pgvector's schema must be open to the functions that compare vectors.
do $$
begin
  execute format('grant usage on schema %I to federation_definer',
    (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'));
end
$$;

-- Gives `name` its owner and its callers, and takes it from everybody else, whatever the default privileges said.
-- `of_definer`: it is security definer and belongs to the role without BYPASSRLS. Only the owner of the schema calls this.
create or replace function federation.hand_out(name regproc, callers text[], of_definer boolean default false)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  signature regprocedure := name::oid::regprocedure;
  home text := (select pronamespace::regnamespace::text from pg_proc where oid = name::oid);
  caller text;
begin
  execute format('revoke all on function %s from public, anon, authenticated, service_role', signature);
  foreach caller in array callers loop
    execute format('grant execute on function %s to %I', signature, caller);
  end loop;
  if of_definer and (select proowner <> 'federation_definer'::regrole from pg_proc where oid = name::oid) then
    -- Whoever becomes owner must be allowed to create in the schema, for as long as this statement.
    execute format('grant create on schema %s to federation_definer', home);
    execute format('alter function %s owner to federation_definer', signature);
    execute format('revoke create on schema %s from federation_definer', home);
  end if;
end
$$;
comment on function federation.hand_out(regproc, text[], boolean) is 'Owner and callers of a function; used by migrations.';
revoke all on function federation.hand_out(regproc, text[], boolean) from public;

-- One sequence for all tables, so that positions of different tables can be compared.
create sequence if not exists federation.change_seq as bigint;
revoke all on sequence federation.change_seq from public, anon, authenticated, service_role;
grant usage on sequence federation.change_seq to authenticated, service_role, federation_definer;

-- Who is asking. A JWT always wins; for the service role, what act_as() set; without a JWT also app.current_tenant.
-- An id that is none is no id: `:` in it could make one tenant's room look like another's feed. A token whose agent is none
-- has no tenant either: nothing that it did would be anybody's.
create or replace function federation.tenant_id()
returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
  tenant text;
begin
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    if federation.agent_id() is not null then
      tenant := claims #>> '{app_metadata,tenant_id}';
    end if;
  else
    tenant := nullif(current_setting('federation.tenant', true), '');
    if tenant is null and claims is null then
      tenant := current_setting('app.current_tenant', true);
    end if;
  end if;
  return case when tenant ~ '^[A-Za-z0-9._@-]{1,128}$' then tenant end;
end
$$;
comment on function federation.tenant_id() is 'The tenant of whoever asks, or null, which sees nothing.';

create or replace function federation.agent_id()
returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
  agent text;
begin
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    agent := coalesce(claims #>> '{app_metadata,agent_id}', 'user.' || (claims ->> 'sub'));
  else
    agent := nullif(current_setting('federation.agent', true), '');
    if agent is null and claims is null then
      agent := current_setting('app.current_agent', true);
    end if;
  end if;
  return case when agent ~ '^[A-Za-z0-9._@-]{1,128}$' then agent end;
end
$$;
comment on function federation.agent_id() is 'The agent that asks, or null.';

-- The first line of every function of the API: for whom it acts, or 42501. `needs` is 'agent' (and a tenant), 'tenant' or
-- 'nothing'; what is not needed may still be there. What it sets ends with stop_acting(), at the latest with the transaction.
create or replace function federation.act_as(
  as_agent text, as_tenant text, needs text default 'agent',
  out tenant text, out agent text, out outer_tenant text, out outer_agent text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
begin
  outer_tenant := coalesce(current_setting('federation.tenant', true), '');
  outer_agent := coalesce(current_setting('federation.agent', true), '');
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    tenant := federation.tenant_id();
    agent := federation.agent_id();
    if tenant is null or agent is null then
      raise exception 'the token names no %: expected app_metadata.% of 1 to 128 characters A-Z a-z 0-9 . _ @ -',
        case when agent is null then 'agent' else 'tenant' end,
        case when agent is null then 'agent_id' else 'tenant_id' end using errcode = '42501';
    end if;
    if as_tenant <> tenant or as_agent <> agent then
      raise exception 'this token acts as agent % of tenant %, not as agent % of tenant %',
        agent, tenant, coalesce(as_agent, agent), coalesce(as_tenant, tenant) using errcode = '42501';
    end if;
    return;
  end if;
  perform federation.check_agent('as_tenant', as_tenant), federation.check_agent('as_agent', as_agent);
  -- Inside a function that acts for somebody, a call that names nobody acts for the same.
  perform set_config('federation.tenant', coalesce(as_tenant, outer_tenant), true),
          set_config('federation.agent', coalesce(as_agent, outer_agent), true);
  tenant := federation.tenant_id();
  agent := federation.agent_id();
  if tenant is null and needs <> 'nothing' then
    raise exception 'no tenant: name one with as_tenant' using errcode = '42501',
      hint = 'In a session without a token, set app.current_tenant works as well.';
  elsif agent is null and needs = 'agent' then
    raise exception 'no agent: name one with as_agent' using errcode = '42501',
      hint = 'In a session without a token, set app.current_agent works as well.';
  end if;
end
$$;
comment on function federation.act_as(text, text, text) is 'For whom an API function acts; refuses with 42501.';

create or replace function federation.stop_acting(outer_tenant text, outer_agent text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('federation.tenant', outer_tenant, true), set_config('federation.agent', outer_agent, true);
end
$$;
comment on function federation.stop_acting(text, text) is 'Ends what act_as() began.';

-- Checks of what callers send. Null passes where the caller may leave it out.
create or replace function federation.check_agent(what text, value text)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if value !~ '^[A-Za-z0-9._@-]{1,128}$' then
    raise exception '%: expected 1 to 128 characters of A-Z a-z 0-9 . _ @ -, got %', what, quote_literal(left(value, 150))
      using errcode = '22023';
  end if;
  return value;
end
$$;

create or replace function federation.check_text(what text, value text, max_bytes integer, needed boolean default true)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if value is null then
    if needed then
      raise exception '%: expected a text, got nothing', what using errcode = '22023';
    end if;
  elsif octet_length(value) > max_bytes or (needed and value = '') then
    raise exception '%: expected % to % bytes, got %', what, case when needed then 1 else 0 end, max_bytes,
      octet_length(value) using errcode = '22023';
  end if;
  return value;
end
$$;

create or replace function federation.check_json(what text, value jsonb, max_bytes integer default 1048576)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(value::text) > max_bytes then
    raise exception '%: expected at most % bytes as JSON text, got %', what, max_bytes, octet_length(value::text)
      using errcode = '22023';
  end if;
  return value;
end
$$;

create or replace function federation.check_rows(max_rows integer)
returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if max_rows is null or max_rows < 0 then
    raise exception 'number of rows: expected 0 or more, got %', coalesce(max_rows::text, 'nothing') using errcode = '22023';
  end if;
  return least(max_rows, 10000);
end
$$;

-- Before insert and update: the transaction that writes and a number, by which others find what is new.
-- Not pinned to a search_path, since that costs as much as the rest: every name is qualified instead.
create or replace function federation.stamp()
returns trigger
language plpgsql
as $$
begin
  new.tx := pg_catalog.pg_current_xact_id();
  new.seq := pg_catalog.nextval('federation.change_seq'::pg_catalog.regclass);
  return new;
end
$$;
comment on function federation.stamp() is 'Trigger: sets tx and seq.';

create or replace function federation.count_version()
returns trigger
language plpgsql
as $$
begin
  new.version := case tg_op when 'INSERT' then 1 else old.version operator(pg_catalog.+) 1 end;
  return new;
end
$$;
comment on function federation.count_version() is 'Trigger: 1 for a new row, one more for every update.';

do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.tenant_id', members);
  perform federation.hand_out('federation.agent_id', members);
  perform federation.hand_out('federation.act_as', members);
  perform federation.hand_out('federation.stop_acting', members);
  perform federation.hand_out('federation.check_agent', members);
  perform federation.hand_out('federation.check_text', members);
  perform federation.hand_out('federation.check_json', members);
  perform federation.hand_out('federation.check_rows', members);
  perform federation.hand_out('federation.stamp', '{}');
  perform federation.hand_out('federation.count_version', '{}');
end
$$;

create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 1 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
do $$
begin
  perform federation.hand_out('public.schema_version', array['anon', 'authenticated', 'service_role']);
end
$$;

-- 20261123100100_agent_events.sql
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

-- 20261123100200_agent_sessions.sql
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

-- 20261123100300_agent_messages.sql
-- What agents say to each other and must not be lost. Three facts, each with its time: stored (created_at), delivered (a hub
-- has it), handled (its handler finished). Without `to_agent` it is for everybody.
create table if not exists public.agent_messages (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id() check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  id text not null check (octet_length(id) between 1 and 255),
  from_agent text not null default federation.agent_id() check (from_agent ~ '^[A-Za-z0-9._@-]{1,128}$'),
  to_agent text check (to_agent ~ '^[A-Za-z0-9._@-]{1,128}$'),
  type text not null check (octet_length(type) between 1 and 255),
  payload jsonb not null,
  created_at timestamptz not null default now(),
  delivered_at timestamptz,
  handled_at timestamptz,
  dead_at timestamptz,
  delivery_attempt integer not null default 0,
  last_error text,
  sender_seq bigint,
  instance_id text check (octet_length(instance_id) <= 255),
  hop_count integer not null default 0 check (hop_count >= 0),
  correlation_id text check (octet_length(correlation_id) <= 255),
  reply_to text check (octet_length(reply_to) <= 255),
  traceparent text check (octet_length(traceparent) <= 255),
  expires_at timestamptz,
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (tenant_id, id)
);
comment on table public.agent_messages is 'Messages between agents, to one of them or to all.';
create index if not exists agent_messages_to on public.agent_messages (tenant_id, to_agent, seq);
create index if not exists agent_messages_pending on public.agent_messages (tenant_id, to_agent, seq)
  where to_agent is not null and handled_at is null and dead_at is null;
create index if not exists agent_messages_from on public.agent_messages (tenant_id, from_agent, seq);
create index if not exists agent_messages_cursor on public.agent_messages (tenant_id, tx, seq);
create index if not exists agent_messages_expiry on public.agent_messages (expires_at) where expires_at is not null;

-- The cursor stands for the message, not for its receipts: marking one as delivered must not move it behind a later one.
create or replace trigger stamp before insert on public.agent_messages
  for each row execute function federation.stamp();
create or replace trigger version before insert or update on public.agent_messages
  for each row execute function federation.count_version();

alter table public.agent_messages enable row level security;
revoke all on public.agent_messages from public, anon, authenticated, service_role;
grant select on public.agent_messages to authenticated;
grant select, insert, update, delete on public.agent_messages to service_role, federation_definer;

drop policy if exists "members read what they sent and what is for them" on public.agent_messages;
create policy "members read what they sent and what is for them" on public.agent_messages for select to authenticated
  using (
    tenant_id = (select federation.tenant_id())
    and (to_agent is null or to_agent = (select federation.agent_id()) or from_agent = (select federation.agent_id())));
drop policy if exists "functions, in the tenant they act for" on public.agent_messages;
create policy "functions, in the tenant they act for" on public.agent_messages for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

create or replace function federation.message_json(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
      'id', message.id, 'tenant_id', message.tenant_id, 'from_agent', message.from_agent, 'type', message.type,
      'payload', message.payload, 'timestamp', message.created_at, 'reply_to', message.reply_to,
      'correlation_id', message.correlation_id, 'hop_count', message.hop_count, 'sender_seq', message.sender_seq,
      'traceparent', message.traceparent, 'delivery_attempt', message.delivery_attempt, 'seq', message.seq)
    || case when message.to_agent is null then '{}' else jsonb_build_object('to_agent', message.to_agent) end
$$;
do $$
begin
  perform federation.hand_out('federation.message_json', array['authenticated', 'service_role', 'federation_definer']);
end
$$;

-- 20261123100400_agent_tasks.sql
-- Work that one agent hands to another, and the small table of what can be claimed.
create table if not exists public.agent_tasks (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id() check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  task_id text not null check (octet_length(task_id) between 1 and 255),
  assigned_by text not null check (assigned_by ~ '^[A-Za-z0-9._@-]{1,128}$'),
  assigned_to text check (assigned_to ~ '^[A-Za-z0-9._@-]{1,128}$'),
  capability text check (octet_length(capability) between 1 and 255),
  description text not null check (octet_length(description) <= 1048576),
  priority text not null default 'medium' check (priority in ('critical', 'high', 'medium', 'low')),
  deadline timestamptz,
  dependencies text[] not null default '{}',
  details jsonb not null default '{}' check (jsonb_typeof(details) = 'object'),
  status text not null default 'pending' check (status in
    ('pending', 'assigned', 'in_progress', 'input_required', 'completed', 'failed', 'cancelled', 'dead')),
  attempt integer not null default 0 check (attempt >= 0),
  max_attempts integer not null default 3 check (max_attempts between 1 and 1000),
  fence bigint not null default 0,
  lease_until timestamptz,
  lease_agent text,
  instance_id text check (octet_length(instance_id) <= 255),
  progress real check (progress between 0 and 1),
  last_progress_at timestamptz,
  checkpoint jsonb,
  result jsonb,
  superseded_results jsonb not null default '[]',
  error text,
  content_hash text not null,
  hop_count integer not null default 0 check (hop_count >= 0),
  correlation_id text check (octet_length(correlation_id) <= 255),
  reply_to text check (octet_length(reply_to) <= 255),
  traceparent text check (octet_length(traceparent) <= 255),
  created_at timestamptz not null default now(),
  started_at timestamptz,
  ended_at timestamptz,
  expires_at timestamptz,
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (tenant_id, task_id)
);
comment on table public.agent_tasks is 'Tasks of a tenant, ended ones included, so that a task id stays one task.';
create index if not exists agent_tasks_to on public.agent_tasks (tenant_id, assigned_to, seq);
create index if not exists agent_tasks_by on public.agent_tasks (tenant_id, assigned_by, seq);
create index if not exists agent_tasks_open on public.agent_tasks (tenant_id, status) where ended_at is null;
create index if not exists agent_tasks_cursor on public.agent_tasks (tenant_id, tx, seq);

create table if not exists public.agent_task_queue (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  task_row uuid not null unique references public.agent_tasks (row_id) on delete cascade,
  assigned_to text,
  capability text,
  -- 0 critical, 1 high, 2 medium, 3 low: what comes first sorts first.
  priority smallint not null default 2 check (priority between 0 and 3),
  ready_at timestamptz not null default now(),
  lease_until timestamptz,
  fence bigint not null default 0,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq')
);
comment on table public.agent_task_queue is 'What can be claimed: one row per task that has not ended.';
create index if not exists agent_task_queue_agent on public.agent_task_queue (tenant_id, assigned_to, priority, ready_at);
create index if not exists agent_task_queue_capability on public.agent_task_queue (tenant_id, capability, priority, ready_at)
  where assigned_to is null;
create index if not exists agent_task_queue_news on public.agent_task_queue (tenant_id, assigned_to, seq);
create index if not exists agent_task_queue_leases on public.agent_task_queue (tenant_id, lease_until) where lease_until is not null;

create or replace trigger stamp before insert or update on public.agent_tasks
  for each row execute function federation.stamp();
create or replace trigger version before insert or update on public.agent_tasks
  for each row execute function federation.count_version();
create or replace trigger stamp before insert or update on public.agent_task_queue
  for each row execute function federation.stamp();

alter table public.agent_tasks enable row level security;
alter table public.agent_task_queue enable row level security;
revoke all on public.agent_tasks, public.agent_task_queue from public, anon, authenticated, service_role;
grant select on public.agent_tasks, public.agent_task_queue to authenticated;
grant select, insert, update, delete on public.agent_tasks, public.agent_task_queue to service_role, federation_definer;

drop policy if exists "members read" on public.agent_tasks;
create policy "members read" on public.agent_tasks for select to authenticated
  using (tenant_id = (select federation.tenant_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_tasks;
create policy "functions, in the tenant they act for" on public.agent_tasks for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));
drop policy if exists "members read" on public.agent_task_queue;
create policy "members read" on public.agent_task_queue for select to authenticated
  using (tenant_id = (select federation.tenant_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_task_queue;
create policy "functions, in the tenant they act for" on public.agent_task_queue for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- The task's own extra fields stand beside the columns and never replace one.
create or replace function federation.task_json(task public.agent_tasks)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select task.details || (to_jsonb(task) - '{row_id,tx,details}'::text[]) $$;
do $$
begin
  perform federation.hand_out('federation.task_json', array['authenticated', 'service_role', 'federation_definer']);
end
$$;

-- 20261123100500_agent_memories.sql
-- What agents remember. Deleting leaves a tombstone: id and clock, no content, so that copies elsewhere learn of it.
create table if not exists public.agent_memories (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id() check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  id text not null check (octet_length(id) between 1 and 255),
  agent_id text not null default federation.agent_id() check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text check (octet_length(session_id) <= 255),
  content text check (octet_length(content) <= 1048576),
  embedding_model text check (octet_length(embedding_model) <= 255),
  metadata jsonb not null default '{}' check (octet_length(metadata::text) <= 1048576),
  source jsonb check (octet_length(source::text) <= 1048576),
  scope text not null default 'tenant' check (scope in ('agent', 'session', 'tenant')),
  written_by text,
  content_hash text,
  supersedes text check (octet_length(supersedes) <= 255),
  superseded_by text check (octet_length(superseded_by) <= 255),
  valid_from timestamptz,
  valid_to timestamptz,
  version bigint not null default 1,
  -- The hybrid logical clock. 0 and '': the writer has none, the server's counts.
  hlc_ms bigint not null default 0 check (hlc_ms >= 0),
  hlc_counter integer not null default 0 check (hlc_counter >= 0),
  hlc_writer text not null default '',
  traceparent text check (octet_length(traceparent) <= 255),
  correlation_id text check (octet_length(correlation_id) <= 255),
  instance_id text check (octet_length(instance_id) <= 255),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  expires_at timestamptz,
  deleted_at timestamptz,
  -- A tsvector ends at 1 MiB. Hyphenated words of four-byte characters need up to 7.3 bytes a character, so the first
  -- 100,000 characters always fit. No stemming: agents write in many languages.
  words tsvector generated always as
    (to_tsvector('pg_catalog.simple'::regconfig, left(coalesce(content, ''), 100000))) stored,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (tenant_id, id),
  constraint agent_memories_content_or_tombstone check ((content is null) = (deleted_at is not null))
);
comment on table public.agent_memories is 'Memories of a tenant''s agents, with embeddings of any dimension.';

-- pgvector is wherever the project has it. A vector of length zero has no direction to compare.
do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
begin
  execute format('alter table public.agent_memories add column if not exists embedding %1$I.vector '
    'constraint agent_memories_embedding_not_zero check (%1$I.vector_norm(embedding) > 0)', home);
end
$$;

create index if not exists agent_memories_newest on public.agent_memories (tenant_id, created_at desc, seq desc)
  where deleted_at is null and superseded_by is null;
create index if not exists agent_memories_agent on public.agent_memories (tenant_id, agent_id, created_at desc, seq desc);
create index if not exists agent_memories_cursor on public.agent_memories (tenant_id, tx, seq);
create index if not exists agent_memories_feed on public.agent_memories (tenant_id, seq) where scope <> 'agent';
create index if not exists agent_memories_expiry on public.agent_memories (tenant_id, expires_at) where expires_at is not null;
create index if not exists agent_memories_superseding on public.agent_memories (tenant_id, supersedes) where supersedes is not null;
create index if not exists agent_memories_same_content on public.agent_memories (tenant_id, agent_id, content_hash) where deleted_at is null;
create index if not exists agent_memories_tombstones on public.agent_memories (tenant_id, updated_at) where deleted_at is not null;
create index if not exists agent_memories_words on public.agent_memories using gin (words);

-- Of two writes of a memory the later stays: by time, counter, then the bytes of the writer. Equal is the same write.
-- Without a search_path of its own, so that it is inlined.
create or replace function federation.is_later(
  ms bigint, counter integer, writer text, than_ms bigint, than_counter integer, than_writer text)
returns boolean
language sql immutable parallel safe
as $$
  select ms operator(pg_catalog.>) than_ms or ms operator(pg_catalog.=) than_ms and (
    counter operator(pg_catalog.>) than_counter or counter operator(pg_catalog.=) than_counter
      and writer collate pg_catalog."C" operator(pg_catalog.>) than_writer)
$$;
comment on function federation.is_later(bigint, integer, text, bigint, integer, text) is 'The order of hybrid logical clocks.';

-- A clock further ahead than this is wrong, and would win for hours.
create or replace function federation.latest_clock_ms()
returns bigint
language sql volatile
as $$
  select pg_catalog.floor(pg_catalog.date_part('epoch', pg_catalog.clock_timestamp()) operator(pg_catalog.*) 1000)::pg_catalog.int8
    operator(pg_catalog.+) 60000
$$;

-- What changes a memory and is nobody's write, so that an older edit which arrives later still counts: the mark that another
-- one supersedes it, and the tombstone of what has expired.
create or replace function federation.is_no_write(old public.agent_memories, new public.agent_memories)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.deleted_at is null and new.deleted_at is not null then
    return coalesce(old.expires_at <= now(), false);
  end if;
  return new.superseded_by is distinct from old.superseded_by
    and (new.agent_id, new.session_id, new.content, new.embedding::text, new.embedding_model, new.metadata, new.source, new.scope,
         new.supersedes, new.valid_from, new.valid_to, new.expires_at, new.deleted_at) is not distinct from
        (old.agent_id, old.session_id, old.content, old.embedding::text, old.embedding_model, old.metadata, old.source, old.scope,
         old.supersedes, old.valid_from, old.valid_to, old.expires_at, old.deleted_at);
end
$$;

-- Fills what the writer leaves out and keeps what no writer decides: the cursor, the version, the hash, the times of the row.
-- A write that brings no clock, or one that cannot be right, gets one that is later than what is stored.
create or replace function federation.prepare_memory()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  now_ms bigint;
begin
  new.tx := pg_current_xact_id();
  new.seq := nextval('federation.change_seq');
  new.updated_at := now();
  if tg_op = 'INSERT' then
    new.version := 1;
    new.written_by := coalesce(new.written_by, federation.agent_id(), new.agent_id);
    if new.hlc_ms = 0 or new.hlc_ms > federation.latest_clock_ms() then
      new.hlc_ms := federation.latest_clock_ms() - 60000;
      new.hlc_counter := 0;
    end if;
    if new.hlc_writer = '' then
      new.hlc_writer := new.written_by;
    end if;
  else
    new.version := old.version + 1;
    new.row_id := old.row_id;
    -- What comes back after its deletion is a new memory under an old id.
    new.created_at := case when old.deleted_at is not null and new.deleted_at is null then new.created_at else old.created_at end;
    new.written_by := coalesce(federation.agent_id(), new.written_by);
    if new.hlc_ms > federation.latest_clock_ms()
      or not federation.is_later(new.hlc_ms, new.hlc_counter, new.hlc_writer, old.hlc_ms, old.hlc_counter, old.hlc_writer) then
      new.hlc_ms := old.hlc_ms;
      new.hlc_counter := old.hlc_counter;
      if not federation.is_no_write(old, new) then
        now_ms := federation.latest_clock_ms() - 60000;
        if now_ms > old.hlc_ms or old.hlc_counter = 2147483647 then
          new.hlc_ms := greatest(now_ms, old.hlc_ms + 1);
          new.hlc_counter := 0;
        else
          new.hlc_counter := old.hlc_counter + 1;
        end if;
        new.hlc_writer := case when new.hlc_writer = old.hlc_writer then coalesce(new.written_by, old.hlc_writer) else new.hlc_writer end;
      else
        new.hlc_writer := old.hlc_writer;
      end if;
    end if;
  end if;
  if new.deleted_at is not null then
    new.content := null;
    new.embedding := null;
    new.embedding_model := null;
    new.metadata := '{}';
    new.source := null;
    new.content_hash := null;
  else
    new.content_hash := encode(sha256(convert_to(new.content, 'UTF8')), 'hex');
  end if;
  return new;
end
$$;
comment on function federation.prepare_memory() is 'Trigger: what every written memory gets.';
create or replace trigger prepare before insert or update on public.agent_memories
  for each row execute function federation.prepare_memory();

alter table public.agent_memories enable row level security;
revoke all on public.agent_memories from public, anon, authenticated, service_role;
-- No delete for members: delete_memory() leaves the tombstone that copies elsewhere need.
grant select, insert, update on public.agent_memories to authenticated;
grant select, insert, update, delete on public.agent_memories to service_role, federation_definer;

drop policy if exists "members read, but not what another agent keeps to itself" on public.agent_memories;
create policy "members read, but not what another agent keeps to itself" on public.agent_memories for select to authenticated
  using (tenant_id = (select federation.tenant_id()) and (scope <> 'agent' or agent_id = (select federation.agent_id())));
drop policy if exists "members add their own" on public.agent_memories;
create policy "members add their own" on public.agent_memories for insert to authenticated
  with check (
    tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id())
    and written_by = (select federation.agent_id()));
drop policy if exists "members change their own" on public.agent_memories;
create policy "members change their own" on public.agent_memories for update to authenticated
  using (tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id()))
  with check (
    tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id())
    and written_by = (select federation.agent_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_memories;
create policy "functions, in the tenant they act for" on public.agent_memories for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- The shape of a memory, in parts: what is known of it, and what it says. Without a search_path of their own, so that they are inlined:
-- they name nothing that is not in pg_catalog, which is looked at first.
create or replace function federation.memory_facts(memory public.agent_memories)
returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'id', memory.id, 'tenant_id', memory.tenant_id, 'agent_id', memory.agent_id, 'session_id', memory.session_id,
    'embedding_model', memory.embedding_model, 'scope', memory.scope, 'written_by', memory.written_by,
    'content_hash', memory.content_hash, 'supersedes', memory.supersedes, 'superseded_by', memory.superseded_by,
    'version', memory.version, 'created_at', memory.created_at, 'updated_at', memory.updated_at,
    'expires_at', memory.expires_at, 'deleted_at', memory.deleted_at, 'seq', memory.seq,
    'hlc', jsonb_build_object('ms', memory.hlc_ms, 'counter', memory.hlc_counter, 'writer', memory.hlc_writer))
$$;

create or replace function federation.memory_json(memory public.agent_memories)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select federation.memory_facts(memory) || jsonb_build_object(
    'content', memory.content, 'embedding', memory.embedding::text::jsonb, 'metadata', memory.metadata, 'source', memory.source)
$$;

-- The same as JSON text, for many at once: an embedding is a JSON array already, and need not become numbers again.
create or replace function federation.memory_text(memory public.agent_memories)
returns text
language sql stable
as $$
  select concat(
    left(federation.memory_facts(memory)::text, -1), ', "content": ', coalesce(to_json(memory.content)::text, 'null'),
    ', "embedding": ', coalesce(memory.embedding::text, 'null'), ', "metadata": ', memory.metadata,
    ', "source": ', coalesce(memory.source::text, 'null'), '}')
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.is_later', members);
  perform federation.hand_out('federation.latest_clock_ms', members);
  perform federation.hand_out('federation.is_no_write', members);
  perform federation.hand_out('federation.memory_facts', members);
  perform federation.hand_out('federation.memory_json', members);
  perform federation.hand_out('federation.memory_text', members);
  perform federation.hand_out('federation.prepare_memory', '{}');
end
$$;

-- 20261123100550_memory_removals.sql
-- What replicas must learn although no row tells them: which database this is, what is no longer theirs to read, and up to where
-- something was removed without a trace.

create table if not exists federation.sync_settings (
  only_one boolean primary key default true check (only_one),
  epoch uuid not null default gen_random_uuid(),
  tombstones_kept interval not null default interval '30 days' check (tombstones_kept >= interval '1 day')
);
comment on table federation.sync_settings is 'One row: what cursors of this database begin with, and how long tombstones stay.';
insert into federation.sync_settings default values on conflict do nothing;

-- A memory that its readers lost. `lost_by` '': all but its owner; else the one agent who could read it.
create table if not exists federation.hidden_memories (
  tenant_id text not null,
  id text not null,
  lost_by text not null,
  agent_id text not null,
  version bigint not null,
  hlc_ms bigint not null,
  hlc_counter integer not null,
  hlc_writer text not null,
  hidden_at timestamptz not null default now(),
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  primary key (tenant_id, id, lost_by)
);
comment on table federation.hidden_memories is 'Memories that became another agent''s own, for those who could read them: id and clock.';
create index if not exists hidden_memories_cursor on federation.hidden_memories (tenant_id, tx, seq);
create index if not exists hidden_memories_age on federation.hidden_memories (hidden_at);

-- By a hash of the tenant's id, so that a deleted tenant leaves no name.
create table if not exists federation.pull_floors (
  tenant_hash text primary key,
  tx xid8 not null,
  seq bigint not null
);
comment on table federation.pull_floors is 'Cursors before this place may have missed a removal.';

do $$
declare
  name text;
begin
  foreach name in array array['sync_settings', 'hidden_memories', 'pull_floors'] loop
    execute format('alter table federation.%I enable row level security', name);
    execute format('revoke all on federation.%I from public, anon, authenticated, service_role', name);
    execute format('grant select, insert, update, delete on federation.%I to federation_definer', name);
    execute format('drop policy if exists "functions" on federation.%I', name);
    -- Triggers write for whatever row was changed; what is read is narrowed by the functions.
    execute format('create policy "functions" on federation.%I for all to federation_definer using (true) with check (true)', name);
  end loop;
end
$$;

create or replace function federation.note_hidden()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer)
  select o.tenant_id, o.id, coalesce(federation.memory_reader(o), ''), o.agent_id, n.version, n.hlc_ms, n.hlc_counter, n.hlc_writer
  from new_rows n join old_rows o using (row_id)
  where (o.tenant_id, o.id) is distinct from (n.tenant_id, n.id)
    or (federation.memory_reader(n) is not null and federation.memory_reader(n) is distinct from federation.memory_reader(o))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$$;
comment on function federation.note_hidden() is 'Trigger: notes whom a change takes a memory from.';
create or replace trigger note_hidden after update on public.agent_memories
  referencing old table as old_rows new table as new_rows for each statement execute function federation.note_hidden();

create or replace function federation.raise_floor(tenant text, at_tx xid8, at_seq bigint)
returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into federation.pull_floors as f (tenant_hash, tx, seq)
  values (encode(sha256(convert_to(tenant, 'UTF8')), 'hex'), at_tx, at_seq)
  on conflict (tenant_hash) do update set tx = excluded.tx, seq = excluded.seq
  where (excluded.tx, excluded.seq) > (f.tx, f.seq)
$$;
comment on function federation.raise_floor(text, xid8, bigint) is 'From now on cursors of the tenant before this place mean nothing.';

-- Whoever has seen the last write of a tombstone or of what expired needs no more; whoever has not must compare everything. What
-- had one version only and expired is known to expire by all who hold it. Anything else is missed by everybody.
create or replace function federation.note_removals()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  here bigint := nextval('federation.change_seq');
begin
  perform federation.raise_floor(gone.tenant_id, gone.tx, gone.seq)
  from (
    select distinct on (g.tenant_id) g.tenant_id, g.tx, g.seq
    from (
      select o.tenant_id,
        case when o.deleted_at is not null or o.expires_at <= now() then o.tx else pg_current_xact_id() end as tx,
        case when o.deleted_at is not null or o.expires_at <= now() then o.seq else here end as seq
      from old_rows o
      where not (o.deleted_at is null and o.version = 1 and coalesce(o.expires_at <= now(), false))) g
    order by g.tenant_id, g.tx desc, g.seq desc) gone;
  return null;
end
$$;
comment on function federation.note_removals() is 'Trigger: up to where a tenant''s memories were removed without a trace.';
create or replace trigger note_removals after delete on public.agent_memories
  referencing old table as old_rows for each statement execute function federation.note_removals();

-- Another epoch, another order of changes: the schema's own id, the cluster, and its timeline, which a promotion changes.
create or replace function federation.epoch()
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  cluster text := '';
begin
  begin
    cluster := concat((select system_identifier from pg_control_system()), ' ', (select timeline_id from pg_control_checkpoint()));
  exception when insufficient_privilege then
    null; -- not everybody may ask everywhere: then a restore into another cluster needs new_epoch()
  end;
  return left(encode(sha256(convert_to((select s.epoch::text from federation.sync_settings s) || ' ' || cluster, 'UTF8')), 'hex'), 32);
end
$$;

create or replace function public.new_epoch()
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update federation.sync_settings set epoch = gen_random_uuid();
  return federation.epoch();
end
$$;
comment on function public.new_epoch is 'After a restore in place: every cursor given out before means nothing any more.';

create or replace function public.keep_tombstones(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set tombstones_kept = make_interval(days => keep_tombstones.days);
end
$$;
comment on function public.keep_tombstones is 'How long tombstones stay. A replica that was away for longer compares everything.';

-- Expired memories are gone for every reader already, so any member may have the tenant's removed.
create or replace function federation.remove_expired_memories(tenant text)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed integer;
  removed integer;
begin
  update public.agent_memories k set deleted_at = now()
  where k.tenant_id = tenant and k.expires_at <= now() and k.deleted_at is null and k.version > 1;
  get diagnostics changed = row_count;
  delete from public.agent_memories k
  where k.tenant_id = tenant and k.expires_at <= now() and k.deleted_at is null;
  get diagnostics removed = row_count;
  return changed + removed;
end
$$;

create or replace function public.cleanup_expired_memories(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_expired_memories(who.tenant);
  else
    -- A service that names no tenant cleans up all of them, one after the other; nobody else gets here.
    select coalesce(sum(public.cleanup_expired_memories(null, t.tenant_id)), 0) into removed
    from (select distinct k.tenant_id from public.agent_memories k where k.expires_at <= now() and k.deleted_at is null) t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_expired_memories is 'Removes expired memories; answers how many.';

create or replace function federation.remove_tombstones(tenant text)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.tombstones_kept from federation.sync_settings s);
  removed integer;
  last record;
begin
  delete from public.agent_memories k where k.tenant_id = tenant and k.deleted_at is not null and k.updated_at < before;
  get diagnostics removed = row_count;
  -- The delete's trigger has raised the floor for the memories; these are no memories.
  with gone as (
    delete from federation.hidden_memories h where h.tenant_id = tenant and h.hidden_at < before returning h.tx, h.seq)
  select g.tx, g.seq into last from gone g order by g.tx desc, g.seq desc limit 1;
  if found then
    perform federation.raise_floor(tenant, last.tx, last.seq);
  end if;
  return removed;
end
$$;

create or replace function federation.tenants_with_old_tombstones()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select k.tenant_id from public.agent_memories k, federation.sync_settings s
  where k.deleted_at is not null and k.updated_at < now() - s.tombstones_kept
  union
  select h.tenant_id from federation.hidden_memories h, federation.sync_settings s where h.hidden_at < now() - s.tombstones_kept
$$;

create or replace function public.cleanup_tombstones(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_tombstones(who.tenant);
  else
    select coalesce(sum(public.cleanup_tombstones(null, t)), 0) into removed from federation.tenants_with_old_tombstones() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_tombstones is 'Removes tombstones older than keep_tombstones() says; answers how many.';

-- Belongs to `postgres`: pg_cron's jobs run as whoever schedules them.
create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  command constant text := 'select public.cleanup_expired_memories(), public.cleanup_tombstones()';
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories() and cleanup_tombstones() from a service now and then');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *', command;
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup'), 'reason', null);
end
$$;
comment on function public.schedule_maintenance is 'Has pg_cron run the clean-ups every five minutes, where there is one.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.note_hidden', '{}', true);
  perform federation.hand_out('federation.note_removals', '{}', true);
  perform federation.hand_out('federation.raise_floor', array['federation_definer'], true);
  perform federation.hand_out('federation.epoch', members, true);
  perform federation.hand_out('public.new_epoch', array['service_role'], true);
  perform federation.hand_out('public.keep_tombstones', array['service_role'], true);
  perform federation.hand_out('federation.remove_expired_memories', members, true);
  perform federation.hand_out('public.cleanup_expired_memories', members);
  perform federation.hand_out('federation.remove_tombstones', members, true);
  perform federation.hand_out('federation.tenants_with_old_tombstones', array['service_role']);
  perform federation.hand_out('public.cleanup_tombstones', members);
  perform federation.hand_out('public.schedule_maintenance', array['service_role']);
end
$$;

-- 20261123100600_channels.sql
-- The three channels of an agent, all private: the room (members write and read), the feed and the inbox (members read,
-- only the database writes). And what the tables announce on feed and inbox, in the transaction that made the change.

do $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then
    raise exception 'realtime.messages or realtime.send is missing: this needs the schema that Supabase Realtime brings'
      using hint = 'Open Realtime once in the dashboard, or update a self-hosted Realtime, then run this again.';
  end if;
end
$$;

create or replace function federation.room_topic() returns text
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 'federation:' || federation.tenant_id() $$;
create or replace function federation.feed_topic() returns text
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 'federation:' || federation.tenant_id() || ':feed' $$;
create or replace function federation.inbox_topic() returns text
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 'federation:' || federation.tenant_id() || ':agent:' || federation.agent_id() $$;
do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.room_topic', members);
  perform federation.hand_out('federation.feed_topic', members);
  perform federation.hand_out('federation.inbox_topic', members);
end
$$;

-- The policies look at the row's topic, not at realtime.topic(), so that they also hold where rows are read back. The
-- restrictive ones keep a project's own wide policies ("authenticated may everything") away from our topics.
-- On a Supabase project `postgres` may make policies on this table without owning it, and nothing else.
do $$
declare
  policy record;
begin
  for policy in
    select * from (values
      ('federation members read their room, feed and inbox', 'permissive', 'select', 'authenticated', 'using',
       $p$(extension in ('broadcast', 'presence') and topic = (select federation.room_topic()))
          or (extension = 'broadcast' and topic in ((select federation.feed_topic()), (select federation.inbox_topic())))$p$),
      ('federation members write their room', 'permissive', 'insert', 'authenticated', 'with check',
       $p$extension in ('broadcast', 'presence') and topic = (select federation.room_topic())$p$),
      ('federation topics are read by their members only', 'restrictive', 'select', 'authenticated', 'using',
       $p$topic not like 'federation:%' or coalesce(topic in
          ((select federation.room_topic()), (select federation.feed_topic()), (select federation.inbox_topic())), false)$p$),
      ('federation feeds and inboxes are written by the database only', 'restrictive', 'insert', 'authenticated', 'with check',
       $p$topic not like 'federation:%' or coalesce(topic = (select federation.room_topic()), false)$p$),
      ('federation topics are never changed', 'restrictive', 'update', 'authenticated', 'using',
       $p$topic not like 'federation:%'$p$),
      ('federation topics are never removed', 'restrictive', 'delete', 'authenticated', 'using',
       $p$topic not like 'federation:%'$p$),
      ('federation topics are nothing for anon', 'restrictive', 'all', 'anon', 'using',
       $p$topic not like 'federation:%'$p$)
    ) as wanted (name, kind, command, role, clause, condition)
  loop
    if not exists (select from pg_policies where schemaname = 'realtime' and tablename = 'messages' and policyname = policy.name) then
      begin
        execute format('create policy %I on realtime.messages as %s for %s to %I %s (%s)',
          policy.name, policy.kind, policy.command, policy.role, policy.clause, policy.condition);
      exception when insufficient_privilege then
        raise exception 'no policy can be made on realtime.messages: %', sqlerrm using errcode = '42501',
          hint = 'Paste supabase/paste-into-sql-editor.sql into the SQL editor of the dashboard, which runs as postgres.';
      end;
    end if;
  end loop;
end
$$;

-- The only door to realtime.send. It belongs to `postgres`, who may write realtime.messages; its one caller is the role of
-- the definer functions.
create or replace function federation.announce(topic text, event text, payload jsonb)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if topic not like 'federation:%' then
    raise exception 'announce: expected a topic that begins with federation:, got %', topic using errcode = '22023';
  end if;
  perform realtime.send(payload, event, topic, true);
end
$$;
comment on function federation.announce(text, text, jsonb) is 'Broadcasts to feed or inbox once the transaction commits.';

-- delete_agent() and delete_tenant() switch announcements and events off for what they remove.
create or replace function federation.is_quiet()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(current_setting('federation.quiet', true), '') = 'on' $$;

create or replace function federation.tell_session()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' or (old.ended_at is not null and new.ended_at is null) then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_opened', new.session_id);
  elsif old.ended_at is null and new.ended_at is not null then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_closed', new.session_id);
  elsif (old.status, old.instance_id, old.end_reason) is not distinct from (new.status, new.instance_id, new.end_reason) then
    return null; -- a heartbeat is nobody's news
  end if;
  perform federation.announce('federation:' || new.tenant_id || ':feed', 'session', jsonb_build_object(
    'session_id', new.session_id, 'agent_id', new.agent_id, 'instance_id', new.instance_id, 'status', new.status,
    'ended_at', new.ended_at, 'end_reason', new.end_reason));
  return null;
end
$$;
create or replace trigger tell after insert or update on public.agent_sessions
  for each row execute function federation.tell_session();

create or replace function federation.tell_message()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := jsonb_build_object('message', federation.message_json(new));
begin
  if octet_length(payload::text) > 200000 then
    payload := jsonb_build_object('id', new.id);
  end if;
  perform federation.announce(
    'federation:' || new.tenant_id || coalesce(':agent:' || new.to_agent, ':feed'), 'message', payload);
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  values (new.tenant_id, new.from_agent, 'message_stored', new.id, new.to_agent);
  return null;
end
$$;
create or replace trigger tell after insert on public.agent_messages
  for each row execute function federation.tell_message();

create or replace function federation.tell_task()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (old.status, old.assigned_to) is not distinct from (new.status, new.assigned_to) then
    return null;
  end if;
  perform federation.announce('federation:' || new.tenant_id || ':feed', 'task', jsonb_build_object(
    'task_id', new.task_id, 'status', new.status, 'assigned_to', new.assigned_to, 'assigned_by', new.assigned_by));
  if tg_op = 'INSERT' then
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    values (new.tenant_id, new.assigned_by, 'task_assigned', new.task_id, new.assigned_to);
  elsif old.status is distinct from new.status and new.status in ('completed', 'failed') then
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    values (new.tenant_id, new.assigned_to, 'task_' || new.status, new.task_id, new.assigned_by);
  end if;
  return null;
end
$$;
create or replace trigger tell after insert or update on public.agent_tasks
  for each row execute function federation.tell_task();

-- One announcement per statement, tenant and reader: with the memories, or, past 200 kB, with their ids, 500 at a time.
create or replace function federation.announce_memories(op text, tenant text, reader text, ids text[], memories jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  topic text := 'federation:' || tenant || coalesce(':agent:' || reader, ':feed');
begin
  if octet_length(memories::text) <= 199900 then -- null where they are too many to have been put together
    perform federation.announce(topic, 'memory', jsonb_build_object('op', op, 'memories', memories));
    return;
  end if;
  for part in 0 .. (cardinality(ids) - 1) / 500 loop
    perform federation.announce(topic, 'memory', jsonb_build_object(
      'op', op, 'ids', to_jsonb(ids[part * 500 + 1 : part * 500 + 500])));
  end loop;
end
$$;

-- Statement level. A memory scoped to an agent is for that agent's inbox; what leaves a reader's sight is deleted for it.
-- `weight` estimates the JSON text, so that a statement of 10,000 memories is not built into one document to find it too large.
create or replace function federation.memory_weight(memory public.agent_memories)
returns bigint
language sql stable
as $$
  select 500 + coalesce(pg_catalog.octet_length(memory.content), 0) + pg_catalog.octet_length(memory.metadata::text)
    + coalesce(pg_catalog.octet_length(memory.source::text), 0) + 3 * coalesce(pg_catalog.pg_column_size(memory.embedding), 0)
$$;
create or replace function federation.memory_reader(memory public.agent_memories)
returns text
language sql stable
as $$ select case memory.scope when 'agent' then memory.agent_id end $$;

create or replace function federation.tell_memories()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone constant jsonb := '{"content": null, "embedding": null, "embedding_model": null, "metadata": {}, "source": null, "content_hash": null}';
  change record;
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select 'added' as op, n.tenant_id, federation.memory_reader(n) as reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, federation.memory_reader(n))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, change.reader, change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope = 'agent' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or federation.memory_reader(o) is distinct from federation.memory_reader(n) then 'added'
                    else 'updated' end as op,
          n.tenant_id, federation.memory_reader(n) as reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, federation.memory_reader(n))
        union all
        select 'deleted', o.tenant_id, federation.memory_reader(o), o.id, n.seq,
          federation.memory_facts(o) || gone || jsonb_build_object('deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc')
        from new_rows n join old_rows o using (row_id)
        where o.deleted_at is null and n.deleted_at is null
          and (federation.memory_reader(o), o.tenant_id) is distinct from (federation.memory_reader(n), n.tenant_id)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, change.reader, change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, case when n.deleted_at is null then 'memory_stored' else 'memory_deleted' end, n.id, n.scope = 'agent'
    from new_rows n join old_rows o using (row_id) where n.deleted_at is null or o.deleted_at is null;
  else
    for change in
      select o.tenant_id, federation.memory_reader(o) as reader, array_agg(o.id order by o.seq) as ids,
        case when count(*) <= 200 then jsonb_agg(federation.memory_facts(o) || gone
          || jsonb_build_object('deleted_at', now(), 'seq', nextval('federation.change_seq')) order by o.seq) end as memories
      from old_rows o where o.deleted_at is null
      group by o.tenant_id, federation.memory_reader(o)
    loop
      perform federation.announce_memories('deleted', change.tenant_id, change.reader, change.ids, change.memories);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select o.tenant_id, o.agent_id, 'memory_deleted', o.id, o.scope = 'agent' from old_rows o where o.deleted_at is null;
  end if;
  return null;
end
$$;
create or replace trigger tell_insert after insert on public.agent_memories
  referencing new table as new_rows for each statement execute function federation.tell_memories();
create or replace trigger tell_update after update on public.agent_memories
  referencing old table as old_rows new table as new_rows for each statement execute function federation.tell_memories();
create or replace trigger tell_delete after delete on public.agent_memories
  referencing old table as old_rows for each statement execute function federation.tell_memories();

do $$
declare
  definer text[] := array['federation_definer'];
begin
  perform federation.hand_out('federation.announce', definer);
  perform federation.hand_out('federation.is_quiet', definer);
  perform federation.hand_out('federation.announce_memories', definer);
  perform federation.hand_out('federation.memory_weight', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('federation.memory_reader', definer);
  perform federation.hand_out('federation.tell_session', '{}', true);
  perform federation.hand_out('federation.tell_message', '{}', true);
  perform federation.hand_out('federation.tell_task', '{}', true);
  perform federation.hand_out('federation.tell_memories', '{}', true);
end
$$;

-- 20261123100700_session_functions.sql
-- Sessions: opened, kept alive, changed, closed, listed.
create or replace function public.open_session(
  session_id text, instance_id text default null, status text default 'online', task text default null,
  capabilities text[] default '{}', metadata jsonb default '{}', timeout_seconds integer default 90,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', open_session.session_id, 255),
    federation.check_text('instance_id', open_session.instance_id, 255, false),
    federation.check_text('status', open_session.status, 64),
    federation.check_text('task', open_session.task, 65536, false),
    federation.check_text('capabilities', array_to_string(open_session.capabilities, ','), 65536, false),
    federation.check_json('metadata', open_session.metadata, 65536);
  if jsonb_typeof(open_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(open_session.metadata) using errcode = '22023';
  end if;
  if open_session.timeout_seconds not between 1 and 86400 then
    raise exception 'timeout_seconds: expected 1 to 86400, got %', open_session.timeout_seconds using errcode = '22023';
  end if;
  insert into public.agent_sessions as s (
    tenant_id, session_id, agent_id, instance_id, status, task, capabilities, metadata, timeout_seconds)
  values (
    who.tenant, open_session.session_id, who.agent, open_session.instance_id, open_session.status, open_session.task,
    coalesce(open_session.capabilities, '{}'), coalesce(open_session.metadata, '{}'), coalesce(open_session.timeout_seconds, 90))
  on conflict (tenant_id, session_id) do update set
    instance_id = excluded.instance_id, status = excluded.status, task = excluded.task, capabilities = excluded.capabilities,
    metadata = excluded.metadata, timeout_seconds = excluded.timeout_seconds, last_seen_at = now(),
    started_at = case when s.ended_at is null then s.started_at else now() end, ended_at = null, end_reason = null
  where s.agent_id = excluded.agent_id
  returning s.* into session;
  if session.row_id is null then
    raise exception 'session % belongs to another agent', quote_literal(open_session.session_id) using errcode = '42501';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$$;
comment on function public.open_session is 'Opens a session of the acting agent, or reopens it.';

create or replace function public.heartbeat(
  session_id text, status text default null, task text default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  alive boolean;
  positions jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', heartbeat.session_id, 255),
    federation.check_text('status', coalesce(heartbeat.status, 'unchanged'), 64),
    federation.check_text('task', heartbeat.task, 65536, false);
  update public.agent_sessions s set
    last_seen_at = now(),
    status = coalesce(heartbeat.status, s.status),
    task = case when heartbeat.status is null then coalesce(heartbeat.task, s.task) else heartbeat.task end
  where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent and s.ended_at is null;
  alive := found;
  select jsonb_build_object(
    'inbox', coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent = who.agent), 0),
    'feed', greatest(
      coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent is null), 0),
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope <> 'agent'), 0)),
    'queue', greatest(
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to = who.agent), 0),
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to is null), 0)))
  into positions;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('server_time', clock_timestamp(), 'alive', alive, 'positions', positions);
end
$$;
comment on function public.heartbeat is 'Keeps a session alive; answers the newest positions of inbox, feed and queue.';

create or replace function public.update_session(
  session_id text, status text, task text default null, metadata jsonb default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', update_session.session_id, 255),
    federation.check_text('status', update_session.status, 64),
    federation.check_text('task', update_session.task, 65536, false),
    federation.check_json('metadata', update_session.metadata, 65536);
  if jsonb_typeof(update_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(update_session.metadata) using errcode = '22023';
  end if;
  update public.agent_sessions s set
    status = update_session.status, task = update_session.task,
    metadata = coalesce(update_session.metadata, s.metadata), last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = update_session.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(update_session.session_id) using errcode = 'P0002';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$$;
comment on function public.update_session is 'Sets status and task of an open session; P0002 when there is none.';

create or replace function public.close_session(
  session_id text, reason text default 'shutdown', as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', close_session.session_id, 255),
    federation.check_text('reason', close_session.reason, 255, false);
  update public.agent_sessions s set
    status = 'offline', ended_at = coalesce(s.ended_at, now()), end_reason = coalesce(s.end_reason, close_session.reason)
  where s.tenant_id = who.tenant and s.session_id = close_session.session_id and (s.agent_id = who.agent or who.agent is null)
  returning s.* into session;
  if not found then
    raise exception 'no session % of this agent', quote_literal(close_session.session_id) using errcode = 'P0002';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$$;
comment on function public.close_session is 'Ends a session; ending it again changes nothing.';

create or replace function public.list_sessions(as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.session_json(s) from public.agent_sessions s
    where s.tenant_id = who.tenant and s.ended_at is null and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)
    order by s.started_at desc, s.seq desc;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.list_sessions is 'Sessions that are alive, newest first.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.open_session', members, true);
  perform federation.hand_out('public.heartbeat', members, true);
  perform federation.hand_out('public.update_session', members, true);
  perform federation.hand_out('public.close_session', members, true);
  perform federation.hand_out('public.list_sessions', members);
end
$$;

-- 20261123100800_message_functions.sql
-- Messages: one call stores and announces, in the caller's own transaction.

-- Stores `message`, or answers the row that an earlier try stored. 23505 when the id stands for something else.
create or replace function federation.store_message(message public.agent_messages)
returns public.agent_messages
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stored public.agent_messages;
begin
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, sender_seq, instance_id,
    traceparent, expires_at)
  values (
    message.tenant_id, message.id, message.from_agent, message.to_agent, message.type, message.payload, message.reply_to,
    message.correlation_id, message.hop_count, message.sender_seq, message.instance_id, message.traceparent, message.expires_at)
  on conflict (tenant_id, id) do nothing
  returning * into stored;
  if stored.row_id is not null then
    return stored;
  end if;
  select * into stored from public.agent_messages m where m.tenant_id = message.tenant_id and m.id = message.id;
  if (stored.from_agent, stored.to_agent, stored.type, stored.payload, stored.reply_to) is distinct from
     (message.from_agent, message.to_agent, message.type, message.payload, message.reply_to) then
    raise exception 'message % exists already, with other content', quote_literal(message.id) using errcode = '23505',
      hint = 'An id stands for one message; use it again only to repeat that message.';
  end if;
  return stored;
end
$$;

create or replace function public.send_message(
  id text, to_agent text, type text, payload jsonb,
  reply_to text default null, correlation_id text default null, hop_count integer default 0,
  sender_seq bigint default null, instance_id text default null, traceparent text default null,
  expires_at timestamptz default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('id', id, 255), federation.check_agent('to_agent', to_agent),
    federation.check_text('type', type, 255), federation.check_json('payload', payload),
    federation.check_text('reply_to', reply_to, 255, false), federation.check_text('correlation_id', correlation_id, 255, false),
    federation.check_text('instance_id', instance_id, 255, false), federation.check_text('traceparent', traceparent, 255, false);
  if hop_count < 0 then
    raise exception 'hop_count: expected 0 or more, got %', hop_count using errcode = '22023';
  end if;
  -- Whoever gets these acts on them, so they come from the functions that change the task and from nowhere else.
  if type = 'task_assignment' then
    raise exception 'task_assignment is no message to send' using errcode = '42501', hint = 'Call assign_task().';
  elsif type = 'task_complete' and to_agent is not null then
    raise exception 'task_complete is no message to send to one agent' using errcode = '42501',
      hint = 'Call complete_task(), which tells whoever assigned the task.';
  elsif type = 'task_complete' and payload ->> 'completed_by' <> who.agent then
    raise exception 'task_complete: completed_by: expected %, who sends it, got %', quote_literal(who.agent),
      quote_literal(left(payload ->> 'completed_by', 150)) using errcode = '42501';
  end if;
  message.tenant_id := who.tenant;
  message.id := id;
  message.from_agent := who.agent;
  message.to_agent := to_agent;
  message.type := type;
  message.payload := coalesce(payload, 'null');
  message.reply_to := reply_to;
  message.correlation_id := correlation_id;
  message.hop_count := coalesce(hop_count, 0);
  message.sender_seq := sender_seq;
  message.instance_id := instance_id;
  message.traceparent := traceparent;
  message.expires_at := expires_at;
  message := federation.store_message(message);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.message_json(message);
end
$$;
comment on function public.send_message is 'Stores and announces a message; the same id with the same content again answers the stored one.';

create or replace function public.pull_inbox(
  max_messages integer default 100, after_seq bigint default 0, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  return query
    select federation.message_json(m) from public.agent_messages m
    where m.tenant_id = who.tenant and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
    order by m.seq
    limit federation.check_rows(max_messages);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.pull_inbox is 'The acting agent''s messages that are not handled, oldest first.';

create or replace function public.mark_messages(
  ids text[], state text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if state is null or state not in ('delivered', 'handled') then
    raise exception 'state: expected delivered or handled, got %', coalesce(quote_literal(state), 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  -- In the order of the rows, so that two who mark the same messages wait for each other instead of deadlocking.
  with wanted as (
    select m.row_id from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent
      and case state when 'delivered' then m.delivered_at is null else m.handled_at is null end
    order by m.row_id for update)
  update public.agent_messages m set
    delivered_at = coalesce(m.delivered_at, now()),
    handled_at = case state when 'handled' then now() else m.handled_at end
  from wanted w where m.row_id = w.row_id;
  get diagnostics changed = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$$;
comment on function public.mark_messages is 'Marks messages to the acting agent as delivered or handled; answers how many changed.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.store_message', array['federation_definer']);
  perform federation.hand_out('public.send_message', members, true);
  perform federation.hand_out('public.pull_inbox', members);
  perform federation.hand_out('public.mark_messages', members, true);
end
$$;

-- 20261123100900_task_functions.sql
-- Tasks: assigned, completed, read. (Claims and leases come with their own migration; columns and queue are here already.)

create or replace function public.assign_task(task jsonb, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  known constant text[] := array['task_id', 'assigned_to', 'capability', 'description', 'priority', 'deadline', 'dependencies',
    'max_attempts', 'hop_count', 'correlation_id', 'reply_to', 'traceparent', 'expires_at'];
  who record;
  hash text;
  new_task public.agent_tasks;
  stored public.agent_tasks;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if task is null or jsonb_typeof(task) <> 'object' then
    raise exception 'task: expected an object, got %', coalesce(jsonb_typeof(task), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_json('task', task), federation.check_text('task_id', task ->> 'task_id', 255),
    federation.check_agent('assigned_to', task ->> 'assigned_to'),
    federation.check_text('description', task ->> 'description', 1048576),
    federation.check_text('capability', task ->> 'capability', 255, false),
    federation.check_text('correlation_id', task ->> 'correlation_id', 255, false),
    federation.check_text('reply_to', task ->> 'reply_to', 255, false),
    federation.check_text('traceparent', task ->> 'traceparent', 255, false);
  -- A forgotten recipient is not "whoever is free": that is said with an explicit null, or with a capability.
  if not task ? 'assigned_to' and task ->> 'capability' is null then
    raise exception 'assigned_to: expected an agent (or null for whoever is free, or a capability), got nothing' using errcode = '22023';
  end if;
  if coalesce(task ->> 'priority', 'medium') not in ('critical', 'high', 'medium', 'low') then
    raise exception 'priority: expected critical, high, medium or low, got %', quote_literal(task ->> 'priority') using errcode = '22023';
  end if;
  if jsonb_typeof(task -> 'dependencies') not in ('array', 'null') then
    raise exception 'dependencies: expected an array of task ids, got %', jsonb_typeof(task -> 'dependencies') using errcode = '22023';
  end if;
  begin
    new_task.deadline := task ->> 'deadline';
    new_task.expires_at := task ->> 'expires_at';
    new_task.max_attempts := coalesce(task ->> 'max_attempts', '3');
    new_task.hop_count := coalesce(task ->> 'hop_count', '0');
  exception when data_exception then
    raise exception 'task: %', sqlerrm using errcode = '22023';
  end;
  if new_task.max_attempts not between 1 and 1000 or new_task.hop_count < 0 then
    raise exception 'expected max_attempts 1 to 1000 and hop_count 0 or more, got % and %',
      new_task.max_attempts, new_task.hop_count using errcode = '22023';
  end if;
  hash := encode(sha256(convert_to(task::text, 'UTF8')), 'hex');

  insert into public.agent_tasks (
    tenant_id, task_id, assigned_by, assigned_to, capability, description, priority, deadline, dependencies, details, status,
    max_attempts, content_hash, hop_count, correlation_id, reply_to, traceparent, expires_at)
  values (
    who.tenant, task ->> 'task_id', who.agent, task ->> 'assigned_to', task ->> 'capability', task ->> 'description',
    coalesce(task ->> 'priority', 'medium'), new_task.deadline,
    array(select jsonb_array_elements_text(case jsonb_typeof(task -> 'dependencies') when 'array' then task -> 'dependencies' else '[]' end)),
    task - known, case when task ->> 'assigned_to' is null then 'pending' else 'assigned' end,
    new_task.max_attempts, hash, new_task.hop_count, task ->> 'correlation_id', task ->> 'reply_to', task ->> 'traceparent',
    new_task.expires_at)
  on conflict (tenant_id, task_id) do nothing
  returning * into stored;
  if stored.row_id is null then
    select * into stored from public.agent_tasks t where t.tenant_id = who.tenant and t.task_id = task ->> 'task_id';
    if stored.content_hash <> hash then
      raise exception 'task % exists already, with other content', quote_literal(task ->> 'task_id') using errcode = '23505',
        hint = 'A task id stands for one task; use it again only to repeat that assignment.';
    end if;
  else
    insert into public.agent_task_queue (tenant_id, task_row, assigned_to, capability, priority)
    values (stored.tenant_id, stored.row_id, stored.assigned_to, stored.capability,
      array_position(array['critical', 'high', 'medium', 'low'], stored.priority) - 1);
    if stored.assigned_to is not null then
      message.tenant_id := who.tenant;
      message.id := gen_random_uuid();
      message.from_agent := who.agent;
      message.to_agent := stored.assigned_to;
      message.type := 'task_assignment';
      message.payload := task || jsonb_build_object('assigned_by', who.agent);
      message.hop_count := stored.hop_count;
      message.correlation_id := coalesce(stored.correlation_id, stored.task_id);
      message.reply_to := stored.reply_to;
      message.traceparent := stored.traceparent;
      message.expires_at := stored.expires_at;
      perform federation.store_message(message);
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(stored);
end
$$;
comment on function public.assign_task is 'Stores a task and tells the agent it is for; the same content again is the same task.';

create or replace function public.complete_task(
  task_id text, result jsonb, fence bigint default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('task_id', complete_task.task_id, 255), federation.check_json('result', complete_task.result);
  select * into task from public.agent_tasks t
  where t.tenant_id = who.tenant and t.task_id = complete_task.task_id for update;
  if not found then
    raise exception 'no task %', quote_literal(complete_task.task_id) using errcode = 'P0002';
  end if;
  if who.agent is distinct from coalesce(task.lease_agent, task.assigned_to) then
    raise exception 'task % is not this agent''s', quote_literal(complete_task.task_id) using errcode = '42501';
  end if;
  if task.ended_at is null then
    if complete_task.fence <> task.fence then
      raise exception 'task % has moved on: expected fence %, got %', quote_literal(complete_task.task_id), task.fence, complete_task.fence
        using errcode = '55000';
    end if;
    update public.agent_tasks t set
      status = 'completed', result = complete_task.result, progress = 1, ended_at = now(), lease_until = null,
      started_at = coalesce(t.started_at, now())
    where t.row_id = task.row_id
    returning t.* into task;
    delete from public.agent_task_queue q where q.tenant_id = who.tenant and q.task_row = task.row_id;
    message.tenant_id := who.tenant;
    message.id := gen_random_uuid();
    message.from_agent := who.agent;
    message.to_agent := task.assigned_by;
    message.type := 'task_complete';
    message.payload := jsonb_build_object('task_id', task.task_id, 'result', task.result, 'completed_by', who.agent);
    message.hop_count := task.hop_count + 1;
    message.correlation_id := coalesce(task.correlation_id, task.task_id);
    message.traceparent := task.traceparent;
    perform federation.store_message(message);
  elsif task.status <> 'completed' then
    raise exception 'task % has ended already: %', quote_literal(complete_task.task_id), task.status using errcode = '55000';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.complete_task is 'Ends a task with its result and tells whoever assigned it; a repeat answers the stored task.';

create or replace function public.get_task(task_id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  found_task jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select federation.task_json(t) into found_task from public.agent_tasks t
  where t.tenant_id = who.tenant and t.task_id = get_task.task_id;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return found_task;
end
$$;
comment on function public.get_task is 'A task, or null.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.assign_task', members, true);
  perform federation.hand_out('public.complete_task', members, true);
  perform federation.hand_out('public.get_task', members);
end
$$;

-- 20261123101000_memory_functions.sql
-- Memories: stored, read, searched, deleted. All of it runs as the caller, under the caller's policies.

-- What store_memories() cannot leave to the table's constraints, with a message that names the memory.
create or replace function federation.check_memory(memory jsonb, place bigint, tenant text, agent text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  named text;
begin
  if jsonb_typeof(memory) <> 'object' then
    raise exception 'memory %: expected an object, got %', place, jsonb_typeof(memory) using errcode = '22023';
  end if;
  -- Nearly all are like this, and asking once is several times faster than asking for the first thing that is wrong.
  if octet_length(memory ->> 'id') between 1 and 255 and octet_length(memory ->> 'content') <= 1048576
    and coalesce(octet_length(memory ->> 'session_id'), 0) <= 255 and coalesce(octet_length(memory ->> 'embedding_model'), 0) <= 255
    and memory ->> 'supersedes' is null and octet_length((memory -> 'metadata')::text) <= 1048576
    and coalesce(octet_length((memory -> 'source')::text), 0) <= 1048576 and coalesce(memory ->> 'scope', 'tenant') in ('agent', 'session', 'tenant')
    and coalesce(memory ->> 'agent_id', agent) = agent and coalesce(memory ->> 'tenant_id', tenant) = tenant
    and not memory ?| '{if_version,ttl_seconds,skip_identical}' then
    return;
  end if;
  perform federation.check_text(format('memory %s: id', place), memory ->> 'id', 255);
  named := 'memory ' || quote_literal(memory ->> 'id');
  perform federation.check_text(named || ': content', coalesce(memory ->> 'content', ''), 1048576, false),
    federation.check_text(named || ': session_id', memory ->> 'session_id', 255, false),
    federation.check_text(named || ': embedding_model', memory ->> 'embedding_model', 255, false),
    federation.check_text(named || ': supersedes', memory ->> 'supersedes', 255, false),
    federation.check_json(named || ': metadata', memory -> 'metadata'),
    federation.check_json(named || ': source', memory -> 'source'),
    federation.check_agent(named || ': agent_id', memory ->> 'agent_id');
  if memory ->> 'content' is null then
    raise exception '%: content: expected a text, got nothing', named using errcode = '22023';
  end if;
  if coalesce(memory ->> 'scope', 'tenant') not in ('agent', 'session', 'tenant') then
    raise exception '%: scope: expected agent, session or tenant, got %', named, quote_literal(memory ->> 'scope') using errcode = '22023';
  end if;
  if memory ?| '{if_version,ttl_seconds,skip_identical}' then
    if coalesce(memory ->> 'if_version', '0') !~ '^[0-9]{1,18}$' then
      raise exception '%: if_version: expected a whole number, 0 or more, got %', named, memory -> 'if_version' using errcode = '22023';
    elsif memory ->> 'ttl_seconds' is not null and (
        jsonb_typeof(memory -> 'ttl_seconds') <> 'number' or (memory ->> 'ttl_seconds')::numeric not between 0.001 and 1e10) then
      raise exception '%: ttl_seconds: expected a number from 0.001 to 1e10, got %', named, memory -> 'ttl_seconds' using errcode = '22023';
    elsif memory ->> 'ttl_seconds' is not null and memory ->> 'expires_at' is not null then
      raise exception '%: expected expires_at or ttl_seconds, got both', named using errcode = '22023';
    elsif coalesce(memory ->> 'skip_identical', 'true') not in ('true', 'false') then
      raise exception '%: skip_identical: expected true or false, got %', named, memory -> 'skip_identical' using errcode = '22023';
    end if;
  end if;
  if coalesce(memory ->> 'agent_id', agent) is null then
    raise exception '%: no agent: expected agent_id, or as_agent for all of them', named using errcode = '42501';
  end if;
  if memory ->> 'agent_id' <> agent or memory ->> 'tenant_id' <> tenant then
    raise exception '%: agent % of tenant % cannot store for agent % of tenant %', named, agent, tenant,
      coalesce(memory ->> 'agent_id', agent), coalesce(memory ->> 'tenant_id', tenant) using errcode = '42501';
  end if;
end
$$;

-- Which of `ids` is another agent's memory. Asked beforehand, because the writer may not be able to see that memory.
create or replace function federation.taken_memory(tenant text, ids text[], owners text[])
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select k.id from unnest(ids, owners) as wanted (id, owner)
  cross join lateral (
    select m.id, m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
  where k.agent_id <> wanted.owner
  limit 1
$$;

-- Batches lock their rows in the order of their ids, so that two which share some wait for each other instead of deadlocking. One
-- that also touches what it supersedes, or looks before it writes, cannot keep to that order, so it runs alone among its agents'.
create or replace function federation.lock_writers(tenant text, owners text[], is_alone boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if is_alone then
    perform pg_advisory_xact_lock(w.key) from (
      select distinct hashtextextended(tenant || ' ' || o, 0) as key from unnest(owners) o where o is not null order by 1) w;
  else
    perform pg_advisory_xact_lock_shared(w.key) from (
      select distinct hashtextextended(tenant || ' ' || o, 0) as key from unnest(owners) o where o is not null order by 1) w;
  end if;
end
$$;

-- For each memory with skip_identical the id that has its content already: a living memory of the same agent and scope, or the
-- first of this call.
create or replace function federation.identical_memories(memories jsonb, tenant text, agent text)
returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(case when g.skips then coalesce(k.id, nullif(g.first_id, g.id)) end order by g.place)
  from (
    select m.ordinality as place, m.value ->> 'id' as id, coalesce(m.value ->> 'skip_identical', '') = 'true' as skips,
      coalesce(m.value ->> 'agent_id', identical_memories.agent) as owner, coalesce(m.value ->> 'scope', 'tenant') as scope,
      encode(sha256(convert_to(m.value ->> 'content', 'UTF8')), 'hex') as hash,
      first_value(m.value ->> 'id') over (
        partition by coalesce(m.value ->> 'agent_id', identical_memories.agent), coalesce(m.value ->> 'scope', 'tenant'), m.value ->> 'content'
        order by m.ordinality) as first_id
    from jsonb_array_elements(memories) with ordinality m) g
  left join lateral (
    select m.id from public.agent_memories m
    where g.skips and m.tenant_id = tenant and m.agent_id = g.owner and m.scope = g.scope and m.content_hash = g.hash
      and m.deleted_at is null and m.superseded_by is null and (m.expires_at is null or m.expires_at > now())
    order by m.id = g.id desc, m.id limit 1) k on true
$$;

-- What if_version says must be there. The rows are locked by now; what is not there yet is looked at again after the insert.
create or replace function federation.check_versions(memories jsonb, tenant text, skipped text[], is_written boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stale record;
begin
  select m.id, m.expected, case when k.deleted_at is null then coalesce(k.version, 0) else 0 end as found
  into stale
  from (
    select g.value ->> 'id' as id, (g.value ->> 'if_version')::bigint as expected, g.ordinality as place
    from jsonb_array_elements(memories) with ordinality g
    where g.value ->> 'if_version' is not null and skipped[g.ordinality] is null offset 0) m -- an index under policies wants plain columns
  left join public.agent_memories k on k.tenant_id = tenant and k.id = m.id
  where case when is_written then m.expected = 0 and k.tx <> pg_current_xact_id()
    else m.expected <> case when k.deleted_at is null then coalesce(k.version, 0) else 0 end end
  order by m.place limit 1;
  if found then
    raise exception 'memory %: expected %, found %', quote_literal(stale.id),
      case stale.expected when 0 then 'none' else 'version ' || stale.expected end,
      case stale.found when 0 then 'none' else 'version ' || stale.found end
      using errcode = '23505',
        detail = jsonb_build_object('id', stale.id, 'expected', stale.expected, 'found', stale.found)::text;
  end if;
end
$$;

-- One statement, so one announcement, however many memories. Of two with the same id the later one counts. A memory is
-- replaced as a whole: what is left out is empty afterwards.
create or replace function public.store_memories(memories jsonb, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
as $$
declare
  who record;
  ids text[];
  owners text[];
  older text[];
  taken text;
  skipped text[] := '{}';
  is_conditional boolean;
  must_be_new text[] := '{}';
  written integer;
begin
  -- A service that names no agent says in each memory whose it is.
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if memories is null or jsonb_typeof(memories) <> 'array' then
    raise exception 'memories: expected an array of objects, got %', coalesce(jsonb_typeof(memories), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_memory(m.value, m.ordinality, who.tenant, who.agent)
  from jsonb_array_elements(memories) with ordinality m;
  ids := array(select m.value ->> 'id' from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  owners := array(
    select coalesce(m.value ->> 'agent_id', who.agent) from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  taken := federation.taken_memory(who.tenant, ids, owners);
  if taken is not null then
    raise exception 'memory % belongs to another agent', quote_literal(taken) using errcode = '42501';
  end if;

  if jsonb_path_exists(memories, '$[*] ? (@.skip_identical == true)') then
    skipped := federation.identical_memories(memories, who.tenant, who.agent);
  end if;

  older := array(
    select m.value ->> 'supersedes' from jsonb_array_elements(memories) m where m.value ->> 'supersedes' is not null);
  is_conditional := jsonb_path_exists(memories, '$[*] ? (@.if_version >= 0)');
  perform federation.lock_writers(who.tenant, owners, is_conditional or cardinality(older) > 0);
  if is_conditional then
    perform from public.agent_memories k where k.tenant_id = who.tenant and k.id = any (ids) order by k.id for update;
  end if;
  if is_conditional then
    perform federation.check_versions(memories, who.tenant, skipped, false);
    must_be_new := array(select m.value ->> 'id' from jsonb_array_elements(memories) m where m.value -> 'if_version' = '0');
  end if;
  insert into public.agent_memories as k (
    tenant_id, id, agent_id, session_id, content, embedding, embedding_model, metadata, source, scope, supersedes,
    valid_from, valid_to, traceparent, correlation_id, instance_id, created_at, expires_at)
  select who.tenant, w.id, coalesce(w.agent_id, who.agent), w.session_id, w.content, (g.value ->> 'embedding')::vector,
    w.embedding_model, coalesce(w.metadata, '{}'), w.source, coalesce(w.scope, 'tenant'), w.supersedes, w.valid_from,
    w.valid_to, w.traceparent, w.correlation_id, w.instance_id, coalesce(w.created_at, now()), coalesce(w.expires_at, now() + make_interval(secs => w.ttl_seconds))
  from (
    select distinct on (m.value ->> 'id') m.value from jsonb_array_elements(memories) with ordinality m
    where skipped[m.ordinality] is null
    order by m.value ->> 'id', m.ordinality desc) g,
    jsonb_to_record(g.value) as w (
      id text, agent_id text, session_id text, content text, embedding_model text, metadata jsonb, source jsonb, scope text,
      supersedes text, valid_from timestamptz, valid_to timestamptz, traceparent text, correlation_id text, instance_id text,
      created_at timestamptz, expires_at timestamptz, ttl_seconds float8)
  order by w.id
  on conflict (tenant_id, id) do update set
    session_id = excluded.session_id, content = excluded.content, embedding = excluded.embedding,
    embedding_model = excluded.embedding_model, metadata = excluded.metadata, source = excluded.source,
    scope = excluded.scope, supersedes = excluded.supersedes, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
    traceparent = excluded.traceparent, correlation_id = excluded.correlation_id, instance_id = excluded.instance_id,
    created_at = excluded.created_at, expires_at = excluded.expires_at, deleted_at = null,
    superseded_by = case when k.deleted_at is null then k.superseded_by end
  where k.agent_id = excluded.agent_id and (k.deleted_at is not null or k.id <> all (must_be_new)) and (
    k.deleted_at is not null
    or (k.session_id, k.content, k.embedding, k.embedding_model, k.metadata, k.source, k.scope, k.supersedes, k.valid_from,
        k.valid_to, k.expires_at) is distinct from
       (excluded.session_id, excluded.content, excluded.embedding, excluded.embedding_model, excluded.metadata,
        excluded.source, excluded.scope, excluded.supersedes, excluded.valid_from, excluded.valid_to, excluded.expires_at));
  get diagnostics written = row_count;
  if is_conditional then
    perform federation.check_versions(memories, who.tenant, skipped, true);
  end if;
  -- What was not written was there already, or another agent stored it a moment ago.
  if written < cardinality(ids) then
    taken := federation.taken_memory(who.tenant, ids, owners);
    if taken is not null then
      raise exception 'memory % belongs to another agent', quote_literal(taken) using errcode = '42501';
    end if;
  end if;
  if cardinality(older) > 0 then
    update public.agent_memories k set superseded_by = m.id
    from (
      select g.value ->> 'id' as id, g.value ->> 'supersedes' as old_id, coalesce(g.value ->> 'agent_id', who.agent) as owner
      from jsonb_array_elements(memories) with ordinality g
      where g.value ->> 'supersedes' is not null and skipped[g.ordinality] is null offset 0) m
    where k.tenant_id = who.tenant and k.id = m.old_id and k.id <> m.id
      and k.agent_id = m.owner and k.deleted_at is null and k.superseded_by is distinct from m.id;
  end if;

  if cardinality(skipped) > 0 then
    ids := array(
      select coalesce(s.id, i.id) from unnest(ids) with ordinality i (id, place)
      join unnest(skipped) with ordinality s (id, place) using (place) order by place);
  end if;
  -- One look-up a memory, whatever the planner thinks of an array's length.
  return query
    select federation.memory_json(k.memory) from unnest(ids) with ordinality as wanted (id, place)
    cross join lateral (
      select m as memory from public.agent_memories m
      where m.tenant_id = who.tenant and m.id = wanted.id offset 0) k
    order by wanted.place;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.store_memories is 'Inserts or replaces memories by id; the same content again changes nothing.';

create or replace function public.store_memory(memory jsonb, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if memory is null or jsonb_typeof(memory) <> 'object' then
    raise exception 'memory: expected an object, got %', coalesce(jsonb_typeof(memory), 'nothing') using errcode = '22023';
  end if;
  return (select s from public.store_memories(jsonb_build_array(memory), as_agent, as_tenant) s);
end
$$;
comment on function public.store_memory is 'Inserts or replaces a memory by id; answers the row.';

create or replace function public.query_memories(
  agent text default null, max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_agent('agent', query_memories.agent);
  return query
    select federation.memory_json(k) from public.agent_memories k
    where k.tenant_id = who.tenant and (query_memories.agent is null or k.agent_id = query_memories.agent)
      and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
      and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
    order by k.created_at desc, k.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.query_memories is 'Memories that the caller may read, newest first.';

create or replace function public.get_memory(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  memory jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select federation.memory_json(k) into memory from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = get_memory.id
    and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
    and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return memory;
end
$$;
comment on function public.get_memory is 'A memory that the caller may read, or null.';

create or replace function public.delete_memory(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  owner text;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select k.agent_id into owner from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = delete_memory.id and k.deleted_at is null
    and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent);
  if owner <> who.agent then
    raise exception 'memory % belongs to another agent', quote_literal(delete_memory.id) using errcode = '42501';
  end if;
  if owner is not null then
    update public.agent_memories k set deleted_at = now()
    where k.tenant_id = who.tenant and k.id = delete_memory.id and k.agent_id = owner and k.deleted_at is null;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return owner is not null;
end
$$;
comment on function public.delete_memory is 'Leaves a tombstone; false when there was nothing to delete.';

create or replace function public.memory_index_statement(dimensions integer)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  home text := (select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
begin
  if dimensions is null or dimensions not between 1 and 4000 then
    raise exception 'dimensions: expected 1 to 4000, got %', coalesce(dimensions::text, 'nothing') using errcode = '22023',
      hint = 'Above 4000 dimensions pgvector has no HNSW index; searches stay exact.';
  end if;
  return format(
    'create index if not exists agent_memories_hnsw_%1$s on public.agent_memories using hnsw '
    '((embedding::%2$s.%3$s(%1$s)) %2$s.%3$s_cosine_ops) where %2$s.vector_dims(embedding) = %1$s',
    dimensions, home, kind);
end
$$;
comment on function public.memory_index_statement is 'The statement that makes an HNSW index for one dimension; it makes none itself.';

-- What names pgvector's type or operators is made with its schema on the path, and keeps exactly that path.
do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  before text := current_setting('search_path');
begin
  perform set_config('search_path', format('pg_catalog, %I, pg_temp', home), true);
  execute $create$
    create or replace function public.search_memories(
      embedding vector, max_rows integer default 10, as_agent text default null, as_tenant text default null)
    returns setof jsonb
    language plpgsql
    as $body$
    declare
      who record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      version integer[];
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if embedding is null or vector_norm(embedding) = 0 then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      end if;
      if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
        near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
        -- Without it the tenant's filter starves what the index finds. pgvector has it since 0.8.
        version := (select string_to_array(extversion, '.')::integer[] from pg_extension where extname = 'vector');
        if version >= array[0, 8] then
          perform set_config('hnsw.iterative_scan', 'strict_order', true);
        end if;
      end if;
      return query execute format(
        'select federation.memory_json(k) || jsonb_build_object(''similarity'', 1 - (%1$s)) from public.agent_memories k '
        'where k.tenant_id = $2 and vector_dims(k.embedding) = %2$s and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and (k.scope <> ''agent'' or $3 is null or k.agent_id = $3) '
        'order by %1$s limit $4', near, dimensions)
        using embedding, who.tenant, who.agent, federation.check_rows(max_rows);
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.search_memories set search_path = pg_catalog, %I, pg_temp', home);
  execute format('alter function public.store_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform set_config('search_path', before, true);
end
$$;
comment on function public.search_memories is 'The memories nearest in meaning, best first, of the same dimension only.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.check_memory', members);
  perform federation.hand_out('federation.taken_memory', members, true);
  perform federation.hand_out('federation.lock_writers', members);
  perform federation.hand_out('federation.identical_memories', members);
  perform federation.hand_out('federation.check_versions', members);
  perform federation.hand_out('public.store_memories', members);
  perform federation.hand_out('public.store_memory', members);
  perform federation.hand_out('public.query_memories', members);
  perform federation.hand_out('public.search_memories', members);
  perform federation.hand_out('public.get_memory', members);
  perform federation.hand_out('public.delete_memory', members);
  perform federation.hand_out('public.memory_index_statement', members);
end
$$;

-- 20261123101010_replica_functions.sql
-- What replicas of a tenant's memories push and pull. Runs as the caller, under the caller's policies.

-- A memory as it is told to replicas, as JSON text. What has expired is told as deleted; `is_brief` leaves out what its writer knows.
create or replace function federation.replica_text(memory public.agent_memories, is_brief boolean default false)
returns text
language sql stable
as $$
  select case
    when memory.deleted_at is not null or memory.expires_at <= now() then (
      federation.memory_facts(memory) || jsonb_build_object(
        'content', null, 'embedding', null, 'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'content_hash', null,
        'deleted_at', coalesce(memory.deleted_at, memory.expires_at)))::text
    when is_brief then federation.memory_facts(memory)::text
    else federation.memory_text(memory)
  end
$$;

-- Which of `ids`, by place, is another agent's memory. Asked beforehand, because the writer may not be able to see that memory.
create or replace function federation.taken_places(tenant text, ids text[], owners text[])
returns integer[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(wanted.place::integer) from unnest(ids, owners) with ordinality as wanted (id, owner, place)
  cross join lateral (
    select m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
  where k.agent_id <> wanted.owner
$$;

-- One pushed memory as a row, or an error that says what is wrong with it.
create or replace function federation.pushed_memory(memory jsonb, place bigint, tenant text, agent text)
returns public.agent_memories
language plpgsql stable
as $$
declare
  pushed public.agent_memories;
  clock jsonb := memory -> 'hlc';
  named text;
begin
  if memory ->> 'deleted_at' is not null then
    memory := jsonb_build_object('content', '') || (memory - '{content,embedding,embedding_model,metadata,source}'::text[]);
    pushed.deleted_at := now();
  end if;
  perform federation.check_memory(memory, place, tenant, agent);
  named := 'memory ' || quote_literal(memory ->> 'id');
  pushed.hlc_ms := clock ->> 'ms';
  pushed.hlc_counter := clock ->> 'counter';
  pushed.hlc_writer := federation.check_text(named || ': hlc.writer', clock ->> 'writer', 255);
  if pushed.hlc_ms is null or pushed.hlc_ms not between 1 and 9007199254740991 or coalesce(pushed.hlc_counter, -1) < 0 then
    raise exception '%: hlc: expected { ms, counter, writer }, got %', named, left(coalesce(clock::text, 'nothing'), 500) using errcode = '22023';
  end if;
  pushed.id := memory ->> 'id';
  pushed.agent_id := coalesce(memory ->> 'agent_id', agent);
  pushed.session_id := memory ->> 'session_id';
  pushed.content := case when pushed.deleted_at is null then memory ->> 'content' end;
  pushed.embedding := memory ->> 'embedding';
  if vector_norm(pushed.embedding) = 0 then
    raise exception '%: embedding: expected a vector that is not all zeros', named using errcode = '22023';
  end if;
  pushed.embedding_model := memory ->> 'embedding_model';
  pushed.metadata := coalesce(nullif(memory -> 'metadata', 'null'), '{}');
  pushed.source := nullif(memory -> 'source', 'null');
  pushed.scope := coalesce(memory ->> 'scope', 'tenant');
  pushed.supersedes := memory ->> 'supersedes';
  pushed.created_at := coalesce((memory ->> 'created_at')::timestamptz, now());
  pushed.expires_at := memory ->> 'expires_at';
  if not isfinite(pushed.created_at) or not isfinite(pushed.expires_at) then
    raise exception '%: expected times that come, got created_at % and expires_at %', named, pushed.created_at, pushed.expires_at
      using errcode = '22023';
  end if;
  return pushed;
end
$$;

create or replace function public.push_memories(
  memories jsonb, brief boolean default false, as_agent text default null, as_tenant text default null)
returns setof json
language plpgsql
as $$
declare
  who record;
  pushed public.agent_memories[];
  refusals json[] := '{}';
  -- Ids whose clock is ahead of the bound: they win, and get the server's.
  ahead text[];
  older text[];
  latest bigint := federation.latest_clock_ms();
  taken integer;
  one record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if memories is null or jsonb_typeof(memories) <> 'array' then
    raise exception 'memories: expected an array of objects, got %', coalesce(jsonb_typeof(memories), 'nothing') using errcode = '22023';
  end if;
  begin
    pushed := array(
      select federation.pushed_memory(m.value, m.ordinality, who.tenant, who.agent)
      from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  exception when data_exception or insufficient_privilege or program_limit_exceeded then
    -- One of them is wrong: look at each.
    pushed := '{}';
    for one in select m.value, m.ordinality::integer as place from jsonb_array_elements(memories) with ordinality m order by m.ordinality loop
      begin
        pushed[one.place] := federation.pushed_memory(one.value, one.place, who.tenant, who.agent);
      exception when data_exception or insufficient_privilege or program_limit_exceeded then
        pushed[one.place] := null;
        refusals[one.place] := json_build_object('outcome', 'refused', 'reason', sqlerrm, 'code', sqlstate);
      end;
    end loop;
  end;
  foreach taken in array coalesce(federation.taken_places(who.tenant,
    array(select p.id from unnest(pushed) with ordinality p order by p.ordinality),
    array(select p.agent_id from unnest(pushed) with ordinality p order by p.ordinality)), '{}') loop
    refusals[taken] := json_build_object('outcome', 'refused', 'code', '42501',
      'reason', format('memory %L belongs to another agent', pushed[taken].id));
  end loop;
  ahead := array(select p.id from unnest(pushed) p where p.hlc_ms > latest);
  older := array(select p.supersedes from unnest(pushed) p where p.supersedes is not null);

  perform federation.lock_writers(who.tenant, array(select p.agent_id from unnest(pushed) p), cardinality(older) > 0);
  insert into public.agent_memories as k (
    tenant_id, id, agent_id, session_id, content, embedding, embedding_model, metadata, source, scope, supersedes, superseded_by,
    written_by, created_at, expires_at, deleted_at, hlc_ms, hlc_counter, hlc_writer)
  select who.tenant, w.id, w.agent_id, w.session_id, w.content, w.embedding, w.embedding_model, w.metadata, w.source, w.scope, w.supersedes,
    -- What supersedes it may have been faster.
    (select s.id from public.agent_memories s
     where s.tenant_id = who.tenant and s.supersedes = w.id and s.agent_id = w.agent_id and s.id <> w.id and s.deleted_at is null limit 1),
    coalesce(who.agent, w.agent_id), w.created_at, w.expires_at, w.deleted_at, w.hlc_ms, w.hlc_counter, w.hlc_writer
  from (
    select distinct on (p.id) p.* from unnest(pushed) with ordinality p
    where p.id is not null and refusals[p.ordinality] is null
    order by p.id, p.hlc_ms desc, p.hlc_counter desc, p.hlc_writer collate "C" desc, p.ordinality desc) w
  order by w.id
  on conflict (tenant_id, id) do update set
    session_id = excluded.session_id, content = excluded.content, embedding = excluded.embedding,
    embedding_model = excluded.embedding_model, metadata = excluded.metadata, source = excluded.source, scope = excluded.scope,
    supersedes = excluded.supersedes, created_at = excluded.created_at, expires_at = excluded.expires_at,
    deleted_at = excluded.deleted_at, superseded_by = case when k.deleted_at is null then k.superseded_by else excluded.superseded_by end,
    hlc_ms = case when k.id = any (ahead) then k.hlc_ms else excluded.hlc_ms end,
    hlc_counter = case when k.id = any (ahead) then k.hlc_counter else excluded.hlc_counter end,
    hlc_writer = case when k.id = any (ahead) then k.hlc_writer else excluded.hlc_writer end
  where k.agent_id = excluded.agent_id and case
    when k.id = any (ahead) then
      (k.session_id, k.content, k.embedding, k.embedding_model, k.metadata, k.source, k.scope, k.supersedes, k.expires_at,
       k.deleted_at is null) is distinct from
      (excluded.session_id, excluded.content, excluded.embedding, excluded.embedding_model, excluded.metadata, excluded.source,
       excluded.scope, excluded.supersedes, excluded.expires_at, excluded.deleted_at is null)
    else federation.is_later(excluded.hlc_ms, excluded.hlc_counter, excluded.hlc_writer, k.hlc_ms, k.hlc_counter, k.hlc_writer) end;
  if cardinality(older) > 0 then
    update public.agent_memories k set superseded_by = s.id
    from public.agent_memories s
    where s.tenant_id = who.tenant and s.id = any (array(select p.id from unnest(pushed) p)) and s.deleted_at is null
      and k.tenant_id = who.tenant and k.id = any (older) and k.id = s.supersedes and k.agent_id = s.agent_id and k.id <> s.id
      and (who.agent is null or k.agent_id = who.agent) and k.deleted_at is null and k.superseded_by is distinct from s.id;
  end if;

  return query
    select coalesce(refusals[p.ordinality], case
      when (k.memory).agent_id is distinct from p.agent_id then json_build_object('outcome', 'refused', 'code', '42501',
        'reason', format('memory %L belongs to another agent', p.id))
      when federation.is_later((k.memory).hlc_ms, (k.memory).hlc_counter, (k.memory).hlc_writer, p.hlc_ms, p.hlc_counter, p.hlc_writer) then
        concat('{"outcome": "older", "memory": ', federation.replica_text(k.memory), '}')::json
      else
        concat('{"outcome": "applied", "clock_moved": ',
          federation.is_later(p.hlc_ms, p.hlc_counter, p.hlc_writer, (k.memory).hlc_ms, (k.memory).hlc_counter, (k.memory).hlc_writer)::text,
          ', "memory": ', federation.replica_text(k.memory, brief), '}')::json
      end)
    from unnest(pushed) with ordinality p
    left join lateral (
      select m as memory from public.agent_memories m where m.tenant_id = who.tenant and m.id = p.id offset 0) k on true
    order by p.ordinality;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.push_memories is 'Writes of a replica, with their clocks: each is applied, older than what is there, or refused.';

-- What whoever asks can no longer read, below `horizon`, for pull_memories().
create or replace function federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
returns table (tx xid8, seq bigint, memory text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select h.tx, h.seq, jsonb_build_object(
    'id', h.id, 'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'session_id', null, 'content', null, 'embedding', null,
    'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'scope', 'tenant', 'written_by', h.agent_id, 'content_hash', null,
    'supersedes', null, 'superseded_by', null, 'version', h.version, 'created_at', h.hidden_at, 'updated_at', h.hidden_at,
    'expires_at', null, 'deleted_at', h.hidden_at, 'seq', h.seq,
    'hlc', jsonb_build_object('ms', h.hlc_ms, 'counter', h.hlc_counter, 'writer', h.hlc_writer))::text
  from federation.hidden_memories h
  where h.tenant_id = federation.tenant_id() and (h.tx, h.seq) > (after_tx, after_seq) and h.tx < horizon
    and (h.lost_by = '' or federation.agent_id() is null or h.lost_by = federation.agent_id())
    and not exists (
      select from public.agent_memories k
      where k.tenant_id = h.tenant_id and k.id = h.id
        and (k.scope <> 'agent' or federation.agent_id() is null or k.agent_id = federation.agent_id()))
  order by h.tx, h.seq
  limit max_rows
$$;

-- Whether something that whoever asks may hold was removed without a trace after `at`, as far as readers below `horizon` see.
create or replace function federation.is_below_floor(at_tx xid8, at_seq bigint, horizon xid8)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from federation.pull_floors f
    where f.tenant_hash = encode(sha256(convert_to(federation.tenant_id(), 'UTF8')), 'hex')
      and (f.tx, f.seq) > (at_tx, at_seq) and f.tx < horizon)
$$;

-- A sequence is handed out before the commit, so "greater than the last I saw" would lose rows. Every transaction below `horizon`
-- has ended, so what it wrote is seen or never will be.
create or replace function public.pull_memories(
  cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  -- How far everything was read; and, during a first reading, when it began.
  after_tx xid8 := '0';
  after_seq bigint := 0;
  since xid8;
  is_reset boolean := false;
  is_more boolean;
  page record;
  answer json;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if cursor is null then
    since := horizon;
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
    is_reset := true;
  else
    after_tx := given[2];
    after_seq := given[3];
    since := given[4];
  end if;
  max_rows := greatest(1, federation.check_rows(max_rows));
  if not is_reset then
    with changes as (
      select c.tx, c.seq, c.memory, c.weight, c.hidden,
        row_number() over earlier as place, sum(c.weight) over earlier as bytes
      from (
        (select k.tx, k.seq, k as memory, federation.memory_weight(k) as weight, null as hidden from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory)) end, ',' order by p.place) as memories
    into page from page p;
    -- Asked after reading, so that nothing is removed in between unnoticed.
    is_reset := federation.is_below_floor(
      greatest(after_tx, since), case when since is null or after_tx >= since then after_seq else 0 end, horizon);
  end if;
  if is_reset then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0:', horizon), 'done', false, 'reset', true,
      'server_time', clock_timestamp());
  else
    is_more := coalesce(page.is_cut, false);
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;
comment on function public.pull_memories is 'What changed in the tenant''s memories since a cursor, in the order of change, and the next cursor.';

create or replace function public.read_memories(ids text[], as_agent text default null, as_tenant text default null)
returns setof json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.replica_text(k)::json from public.agent_memories k
    where k.tenant_id = who.tenant and k.id = any (ids)
      and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.read_memories is 'Memories by id as replicas get them, tombstones too.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
begin
  execute format('alter function federation.pushed_memory set search_path = pg_catalog, %I, pg_temp', home);
  execute format('alter function public.push_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform federation.hand_out('federation.replica_text', members);
  perform federation.hand_out('federation.taken_places', members, true);
  perform federation.hand_out('federation.pushed_memory', members);
  perform federation.hand_out('public.push_memories', members);
  perform federation.hand_out('federation.hidden_since', members, true);
  perform federation.hand_out('federation.is_below_floor', members, true);
  perform federation.hand_out('public.pull_memories', members);
  perform federation.hand_out('public.read_memories', members);
end
$$;

-- 20261123101020_find_functions.sql
-- Finding memories by meaning, by words or by both, and deleting what a filter admits.

-- A filter's parts. A key that nobody knows would narrow nothing, so it is refused.
create or replace function federation.read_filter(
  filter jsonb, out agent text, out session text, out since timestamptz, out until timestamptz, out metadata jsonb)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  stranger text;
begin
  filter := coalesce(nullif(filter, 'null'), '{}');
  if jsonb_typeof(filter) <> 'object' then
    raise exception 'filter: expected an object, got %', jsonb_typeof(filter) using errcode = '22023';
  end if;
  select k into stranger from jsonb_object_keys(filter) k where k not in ('agent', 'session', 'since', 'until', 'metadata') limit 1;
  if stranger is not null then
    raise exception 'filter: expected agent, session, since, until or metadata, got %', quote_literal(left(stranger, 100)) using errcode = '22023';
  end if;
  agent := federation.check_agent('filter: agent', filter ->> 'agent');
  session := filter ->> 'session';
  since := filter ->> 'since';
  until := filter ->> 'until';
  metadata := nullif(filter -> 'metadata', 'null');
end
$$;

create or replace function public.delete_memories(filter jsonb, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  wanted record;
  deleted integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select * into wanted from federation.read_filter(filter);
  if num_nonnulls(wanted.agent, wanted.session, wanted.since, wanted.until, wanted.metadata) = 0 then
    raise exception 'filter: expected one of agent, session, since, until and metadata, got none' using errcode = '22023';
  elsif wanted.agent <> who.agent then
    raise exception 'agent % cannot delete memories of agent %', who.agent, wanted.agent using errcode = '42501';
  end if;
  with doomed as (
    select k.row_id from public.agent_memories k
    where k.tenant_id = who.tenant and k.deleted_at is null and (k.expires_at is null or k.expires_at > now())
      and (who.agent is null or k.agent_id = who.agent) and (wanted.agent is null or k.agent_id = wanted.agent)
      and (wanted.session is null or k.session_id = wanted.session) and (wanted.since is null or k.created_at >= wanted.since)
      and (wanted.until is null or k.created_at < wanted.until) and (wanted.metadata is null or k.metadata @> wanted.metadata)
    order by k.id for update)
  update public.agent_memories k set deleted_at = now() from doomed d where k.row_id = d.row_id;
  get diagnostics deleted = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return deleted;
end
$$;
comment on function public.delete_memories is 'Leaves tombstones of one''s own memories that a filter admits; answers how many.';

-- Any of the words of a text, the last one as a prefix; null where there is none.
create or replace function federation.words_query(text text)
returns tsquery
language sql immutable
set search_path = pg_catalog, pg_temp
as $$
  select string_agg(
    '''' || replace(replace(w.lexeme, '\', '\\'), '''', '''''') || case when w.is_last then ''':*' else '''' end, ' | ')::tsquery
  from (
    select t.lexeme, p.last = max(p.last) over () as is_last
    from unnest(to_tsvector('pg_catalog.simple'::regconfig, words_query.text)) t
    cross join lateral (select max(x) as last from unnest(t.positions) x) p) w
$$;

-- Which memories match, and how well. Belongs to `postgres`, who owns the table: under policies no index of words may be used,
-- because a text search operator could leak what a policy hides. It asks for the tenant and the agent itself, answers row ids
-- only, and whoever calls it reads those rows under the policies.
do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  before text := current_setting('search_path');
begin
  perform set_config('search_path', format('pg_catalog, %I, pg_temp', home), true);
  execute $create$
    create or replace function federation.matches(
      embedding vector, model text, words tsquery, wanted jsonb, depth integer, min_similarity float8)
    returns table (row_id uuid, similarity float8, rank float8, place bigint)
    language plpgsql security definer
    as $body$
    declare
      me record;
      filter record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      passing constant text := 'k.tenant_id = $2 and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and (k.scope <> ''agent'' or $3 is null or k.agent_id = $3) '
        'and ($4 is null or k.agent_id = $4) and ($5 is null or k.session_id = $5) and ($6 is null or k.created_at >= $6) '
        'and ($7 is null or k.created_at < $7) and ($8 is null or k.metadata @> $8)';
      few constant integer := 10000;
      candidates integer;
    begin
      select federation.tenant_id() as tenant, federation.agent_id() as agent into me;
      select * into filter from federation.read_filter(wanted);
      if me.tenant is null then
        return;
      end if;
      if embedding is not null then
        if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
          execute format('select count(*) from (select from public.agent_memories k where %s and vector_dims(k.embedding) = %s limit %s) c',
            passing, dimensions, few + 1)
            into candidates using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata;
          -- Among few, all are compared. Among many, the index goes on until enough have passed (pgvector has that since 0.8).
          if candidates > few and (
            select string_to_array(e.extversion, '.')::integer[] >= array[0, 8] from pg_extension e where e.extname = 'vector') then
            near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
            perform set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.max_scan_tuples', '2147483647', true),
              set_config('hnsw.ef_search', least(1000, greatest(40, depth))::text, true);
          end if;
        end if;
        return query execute format(
          'select m.row_id, m.similarity, null::float8, row_number() over (order by m.similarity desc, m.seq desc) from ('
          'select k.row_id, k.seq, 1 - (%1$s) as similarity from public.agent_memories k '
          'where %2$s and vector_dims(k.embedding) = %3$s and k.embedding_model is not distinct from $9 '
          'order by %1$s limit $10) m where $11 is null or m.similarity >= $11', near, passing, dimensions)
          using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, model, depth, min_similarity;
      end if;
      if words is not null then
        return query execute format(
          'select m.row_id, null::float8, m.rank, row_number() over (order by m.rank desc, m.seq desc) from ('
          'select k.row_id, k.seq, ts_rank(k.words, $1)::float8 as rank from public.agent_memories k '
          'where %s and k.words @@ $1 order by rank desc, k.seq desc limit $9) m', passing)
          using words, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, depth;
      end if;
    end
    $body$
  $create$;
  execute format('alter function federation.matches set search_path = pg_catalog, %I, pg_temp', home);

  execute $create$
    create or replace function public.find_memories(query jsonb, as_agent text default null, as_tenant text default null)
    returns setof json
    language plpgsql
    as $body$
    declare
      who record;
      filter record;
      embedding vector := query ->> 'embedding';
      words tsquery;
      mode text := query ->> 'mode';
      wanted integer := coalesce((query ->> 'limit')::integer, 10);
      stranger text;
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if query is null or jsonb_typeof(query) <> 'object' then
        raise exception 'query: expected an object, got %', coalesce(jsonb_typeof(query), 'nothing') using errcode = '22023';
      end if;
      select k into stranger from jsonb_object_keys(query) k
      where k not in ('text', 'embedding', 'embedding_model', 'mode', 'filter', 'limit', 'min_similarity') limit 1;
      if stranger is not null then
        raise exception 'query: expected text, embedding, embedding_model, mode, filter, limit or min_similarity, got %',
          quote_literal(left(stranger, 100)) using errcode = '22023';
      end if;
      select * into filter from federation.read_filter(query -> 'filter');
      perform federation.check_text('text', query ->> 'text', 65536, false);
      wanted := federation.check_rows(wanted);
      mode := coalesce(mode, case when query ->> 'text' is null then 'meaning' when embedding is null then 'words' else 'both' end);
      if mode not in ('meaning', 'words', 'both') then
        raise exception 'mode: expected meaning, words or both, got %', quote_literal(left(mode, 100)) using errcode = '22023';
      elsif mode <> 'words' and (embedding is null or vector_norm(embedding) = 0) then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      elsif mode <> 'meaning' and query ->> 'text' is null then
        raise exception 'text: expected a text, got nothing' using errcode = '22023';
      end if;
      if mode = 'meaning' then
        words := null;
      else
        words := federation.words_query(query ->> 'text');
      end if;
      if mode = 'words' then
        embedding := null;
      end if;
      return query
        with found as materialized (
          select m.row_id, max(m.similarity) as similarity,
            case mode when 'both' then sum(1.0 / (60 + m.place))::float8 else max(coalesce(m.similarity, m.rank)) end as score
          from federation.matches(embedding, query ->> 'embedding_model', words, query -> 'filter',
            case mode when 'both' then least(10000, greatest(100, 4 * wanted)) else wanted end, (query ->> 'min_similarity')::float8) m
          group by m.row_id)
        select concat(left(federation.memory_text(k), -1), ', "similarity": ', coalesce(to_json(f.similarity)::text, 'null'),
          ', "score": ', to_json(f.score), '}')::json
        from found f
        -- Each row again under the policies of the caller, and as it is by now.
        cross join lateral (
          select m from public.agent_memories m where m.row_id = f.row_id and m.tenant_id = who.tenant offset 0) r (k)
        where (k).deleted_at is null and (k).superseded_by is null and ((k).expires_at is null or (k).expires_at > now())
          and ((k).scope <> 'agent' or who.agent is null or (k).agent_id = who.agent)
        order by f.score desc, (k).seq desc
        limit wanted;
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.find_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform set_config('search_path', before, true);
end
$$;
comment on function public.find_memories is 'Memories by meaning, by words or by both, best first.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.read_filter', members);
  perform federation.hand_out('federation.words_query', members);
  perform federation.hand_out('federation.matches', members);
  perform federation.hand_out('public.delete_memories', members);
  perform federation.hand_out('public.find_memories', members);
end
$$;

-- 20261123101100_upkeep_functions.sql
-- Numbers, the log of events, and removing an agent or a tenant with every trace.
create or replace function public.federation_stats(as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  stats jsonb;
begin
  -- A service that names no tenant counts all of them; the policies keep everybody else to their own.
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  select jsonb_build_object(
    'total_memories', (
      select count(*) from public.agent_memories k
      where (who.tenant is null or k.tenant_id = who.tenant) and k.deleted_at is null and k.superseded_by is null
        and (k.expires_at is null or k.expires_at > now()) and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)),
    'active_sessions', (
      select count(*) from public.agent_sessions s
      where (who.tenant is null or s.tenant_id = who.tenant) and s.ended_at is null
        and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)),
    'total_messages', (
      select count(*) from public.agent_messages m
      where (who.tenant is null or m.tenant_id = who.tenant)
        and (who.agent is null or m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent)),
    'open_tasks', (
      select count(*) from public.agent_tasks t where (who.tenant is null or t.tenant_id = who.tenant) and t.ended_at is null))
  into stats;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return stats;
end
$$;
comment on function public.federation_stats is 'How many memories, live sessions, messages and open tasks the caller may read.';

create or replace function public.list_events(
  after_seq bigint default 0, max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select to_jsonb(e) - '{row_id,tx,private}'::text[] from public.agent_events e
    where e.tenant_id = who.tenant and e.seq > coalesce(after_seq, 0)
      and (not e.private or who.agent is null or e.agent_id = who.agent)
    order by e.seq
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.list_events is 'What happened in the tenant, oldest first.';

-- Stored broadcasts. Belongs to `postgres` as announce() does: only it may touch realtime.messages. A project that does not
-- let it delete there lets it update, which removes the content all the same; Realtime drops the rows after three days.
create or replace function federation.forget_broadcasts(tenant text, agent text, ids text[])
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  room constant text := 'federation:' || tenant;
  forgotten integer;
  mine constant text := format($q$
    (m.topic = %1$L or starts_with(m.topic, %1$L || ':')) and (
      %2$L is null
      or m.topic = %1$L || ':agent:' || %2$L
      or %2$L in (m.payload ->> 'from_agent', m.payload ->> 'agent_id', m.payload ->> 'assigned_to', m.payload ->> 'assigned_by',
        m.payload #>> '{message,from_agent}', m.payload #>> '{message,to_agent}')
      or m.payload ->> 'id' = any (%3$L::text[])
      or (jsonb_typeof(m.payload -> 'ids') = 'array' and m.payload -> 'ids' ?| %3$L::text[])
      or (jsonb_typeof(m.payload -> 'memories') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'memories') k where %2$L in (k ->> 'agent_id', k ->> 'written_by'))))
    $q$, room, agent, ids);
begin
  if has_table_privilege('realtime.messages', 'delete') then
    execute 'delete from realtime.messages m where ' || mine;
  else
    execute $q$update realtime.messages m set payload = '{}', topic = 'federation-forgotten', event = null where $q$ || mine;
  end if;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;
comment on function federation.forget_broadcasts(text, text, text[]) is 'Removes what was broadcast by, to or about an agent, or in a tenant.';

create or replace function federation.remove(tenant text, agent text)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

create or replace function public.delete_agent(agent text, tenant text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  counts jsonb;
begin
  perform federation.check_text('agent', agent, 128);
  select * into who from federation.act_as(agent, coalesce(tenant, ''), 'agent');
  counts := federation.remove(who.tenant, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return counts;
end
$$;
comment on function public.delete_agent is 'Removes every trace of an agent; for services.';

create or replace function public.delete_tenant(tenant text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  counts jsonb;
begin
  select * into who from federation.act_as(null, coalesce(tenant, ''), 'tenant');
  counts := federation.remove(who.tenant, null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return counts;
end
$$;
comment on function public.delete_tenant is 'Removes every trace of a tenant; for services.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.federation_stats', members);
  perform federation.hand_out('public.list_events', members);
  perform federation.hand_out('federation.forget_broadcasts', array['federation_definer']);
  perform federation.hand_out('federation.remove', array['federation_definer']);
  perform federation.hand_out('public.delete_agent', array['service_role'], true);
  perform federation.hand_out('public.delete_tenant', array['service_role'], true);
end
$$;

-- 20261123101200_publication.sql
-- Postgres changes, for those who subscribe to tables: row level security decides who sees a change. Deletes show everybody
-- the primary key, which is why that is a random uuid.
do $$
declare
  wanted text;
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
  if (select puballtables from pg_publication where pubname = 'supabase_realtime') then
    return;
  end if;
  foreach wanted in array array['agent_sessions', 'agent_memories', 'agent_tasks', 'agent_events'] loop
    if not exists (
      select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = wanted) then
      execute format('alter publication supabase_realtime add table public.%I', wanted);
    end if;
  end loop;
end
$$;

-- 20261127100000_schema_version.sql
-- breaking
-- Messages with receipts, tasks with leases, locks, and sessions that are swept: a library of schema 1 does not call what they need.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 2 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

-- 20261127120000_task_leases.sql
-- Tasks are claimed, and a claim is a lease with a fencing token: who lost it cannot end the task any more.
--
--   pending, assigned ──claim──▶ in_progress ──complete──▶ completed
--        ▲    ▲                      │ ├──fail, attempts left──▶ pending or assigned, after a back-off
--        │    └─────lease runs out───┘ ├──fail, none left──▶ dead (failed, where retrying was not wanted)
--        └──requeue── dead, failed     └──cancel, deadline──▶ cancelled, failed (from every state that is not an end)

alter table public.agent_tasks add column if not exists holders text[] not null default '{}';
alter table public.agent_tasks add column if not exists progress_note text;
create index if not exists agent_tasks_due on public.agent_tasks (tenant_id, (least(deadline, expires_at)))
  where ended_at is null and (deadline is not null or expires_at is not null);

-- Only what can be claimed is looked at, by urgency and, so that nothing waits for ever, sometimes by age.
create index if not exists agent_task_queue_ready on public.agent_task_queue (tenant_id, assigned_to, capability, priority, ready_at)
  where lease_until is null;
create index if not exists agent_task_queue_age on public.agent_task_queue (tenant_id, assigned_to, capability, ready_at)
  where lease_until is null;

-- Candidates for one kind of claim: one's own tasks, those for a capability, those for whoever is free.
create or replace function federation.claimable(tenant text, agent text, wanted text, by_age boolean, many integer)
returns table (task_row uuid, rank double precision)
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select q.task_row, case when by_age then extract(epoch from q.ready_at) else q.priority * 1e12 + extract(epoch from q.ready_at) end
  from public.agent_task_queue q
  where q.tenant_id = tenant and q.lease_until is null and q.ready_at <= now()
    and q.assigned_to is not distinct from agent and (agent is not null or q.capability is not distinct from wanted)
  order by 2 limit many
$$;

-- Ends a task in a failure of some kind, and tells whoever assigned it.
create or replace function federation.end_task(task public.agent_tasks, final_status text, reason text)
returns public.agent_tasks
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  message public.agent_messages;
begin
  update public.agent_tasks t set status = final_status, error = reason, ended_at = now(), lease_until = null, fence = t.fence + 1
  where t.row_id = task.row_id returning t.* into task;
  delete from public.agent_task_queue q where q.tenant_id = task.tenant_id and q.task_row = task.row_id;
  message.tenant_id := task.tenant_id;
  message.id := gen_random_uuid();
  message.from_agent := coalesce(federation.agent_id(), task.lease_agent, task.assigned_by);
  message.to_agent := task.assigned_by;
  message.type := 'task_failed';
  message.payload := jsonb_build_object(
    'task_id', task.task_id, 'status', task.status, 'error', task.error, 'attempt', task.attempt, 'agent', task.lease_agent);
  message.hop_count := task.hop_count + 1;
  message.correlation_id := coalesce(task.correlation_id, task.task_id);
  message.traceparent := task.traceparent;
  perform federation.store_message(message);
  return task;
end
$$;

-- Gives a task back to the queue, to be claimed from `ready_at` on; without attempts left it is dead.
create or replace function federation.give_back(task public.agent_tasks, reason text, ready_at timestamptz)
returns public.agent_tasks
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if task.attempt >= task.max_attempts then
    return federation.end_task(task, 'dead', reason);
  end if;
  update public.agent_tasks t set
    status = case when t.assigned_to is null then 'pending' else 'assigned' end, error = reason,
    lease_until = null, lease_agent = null, instance_id = null, fence = t.fence + 1
  where t.row_id = task.row_id returning t.* into task;
  update public.agent_task_queue q set lease_until = null, ready_at = give_back.ready_at, fence = task.fence
  where q.tenant_id = task.tenant_id and q.task_row = task.row_id;
  return task;
end
$$;

-- What time alone does: leases that ran out, deadlines that passed. At most 500 of each in a call.
create or replace function federation.release_tasks(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  task public.agent_tasks;
  released integer := 0;
begin
  for task in
    select t.* from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = tenant and q.lease_until < now() order by q.lease_until limit 500 for update of q, t skip locked
  loop
    perform federation.give_back(task, 'the lease of ' || coalesce(task.lease_agent, 'its worker') || ' ran out', now());
    released := released + 1;
  end loop;
  for task in
    select t.* from public.agent_tasks t
    where t.tenant_id = tenant and t.ended_at is null and least(t.deadline, t.expires_at) < now()
    order by least(t.deadline, t.expires_at) limit 500 for update skip locked
  loop
    perform federation.end_task(task, 'failed', case when task.deadline < now() then 'its deadline passed' else 'it expired' end);
    released := released + 1;
  end loop;
  return released;
end
$$;

create or replace function public.claim_tasks(
  max_tasks integer default 1, capabilities text[] default '{}', instance_id text default null,
  as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  by_age constant boolean := random() < 0.1;
  chosen uuid[];
  until constant timestamptz := now() + interval '20 seconds';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if claim_tasks.max_tasks is null or claim_tasks.max_tasks not between 1 and 1000 then
    raise exception 'max_tasks: expected 1 to 1000, got %', coalesce(claim_tasks.max_tasks::text, 'nothing') using errcode = '22023';
  end if;
  perform federation.check_text('instance_id', claim_tasks.instance_id, 255, false), federation.sweep(who.tenant);
  -- Others claim at the same time: a few more candidates than wanted, and of those the ones that nobody else has.
  chosen := array(
    select c.task_row from (
      select * from federation.claimable(who.tenant, who.agent, null, by_age, claim_tasks.max_tasks + 32)
      union all
      select k.* from unnest(coalesce(claim_tasks.capabilities, '{}') || null::text) wanted,
        lateral federation.claimable(who.tenant, null, wanted, by_age, claim_tasks.max_tasks + 32) k) c
    order by c.rank);
  chosen := array(
    select q.task_row from public.agent_task_queue q
    where q.tenant_id = who.tenant and q.task_row = any (chosen) and q.lease_until is null and q.ready_at <= now()
    order by array_position(chosen, q.task_row) limit claim_tasks.max_tasks for update skip locked);
  update public.agent_task_queue q set lease_until = until, fence = q.fence + 1
  where q.tenant_id = who.tenant and q.task_row = any (chosen);
  return query
    with claimed as (
      update public.agent_tasks t set
        status = 'in_progress', attempt = t.attempt + 1, fence = t.fence + 1, lease_until = until, lease_agent = who.agent,
        instance_id = claim_tasks.instance_id, started_at = coalesce(t.started_at, now()), progress = null, progress_note = null,
        holders = case when who.agent = any (t.holders) then t.holders else t.holders || who.agent end
      where t.tenant_id = who.tenant and t.row_id = any (chosen) and t.ended_at is null
      returning t.*)
    select federation.task_json(c::public.agent_tasks) from claimed c order by array_position(chosen, c.row_id);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.claim_tasks is 'Claims tasks of the acting agent, of its capabilities or of nobody in particular, for 20 seconds.';

create or replace function public.renew_tasks(
  leases jsonb, as_agent text default null, as_tenant text default null)
returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  held text[];
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if leases is null or jsonb_typeof(leases) <> 'array' then
    raise exception 'leases: expected an array of { task_id, fence }, got %', coalesce(jsonb_typeof(leases), 'nothing') using errcode = '22023';
  end if;
  with renewed as (
    update public.agent_tasks t set lease_until = now() + interval '20 seconds'
    from jsonb_array_elements(leases) l
    where t.tenant_id = who.tenant and t.task_id = l.value ->> 'task_id' and t.fence = (l.value ->> 'fence')::bigint
      and t.lease_agent = who.agent and t.lease_until is not null and t.ended_at is null
    returning t.row_id, t.task_id),
  queued as (
    update public.agent_task_queue q set lease_until = now() + interval '20 seconds'
    from renewed r where q.tenant_id = who.tenant and q.task_row = r.row_id)
  select coalesce(array_agg(r.task_id), '{}') into held from renewed r;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return held;
end
$$;
comment on function public.renew_tasks is 'Extends leases by 20 seconds; the ids of those that are still held.';

-- The task of a call, locked; P0002 when there is none.
create or replace function federation.lock_task(tenant text, task_id text)
returns public.agent_tasks
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  task public.agent_tasks;
begin
  perform federation.check_text('task_id', lock_task.task_id, 255);
  select * into task from public.agent_tasks t
  where t.tenant_id = lock_task.tenant and t.task_id = lock_task.task_id for update;
  if not found then
    raise exception 'no task %', quote_literal(lock_task.task_id) using errcode = 'P0002';
  end if;
  return task;
end
$$;

-- Whether `agent` may still speak for the task: it holds the lease with this fence, or, without a lease, it is assigned to it.
create or replace function federation.speaks_for(task public.agent_tasks, agent text, fence bigint)
returns boolean
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if agent is distinct from coalesce(task.lease_agent, task.assigned_to) and agent <> all (task.holders) then
    raise exception 'task % is not this agent''s', quote_literal(task.task_id) using errcode = '42501';
  end if;
  return task.ended_at is null and agent = coalesce(task.lease_agent, task.assigned_to) and coalesce(fence, task.fence) = task.fence;
end
$$;

create or replace function public.complete_task(
  task_id text, result jsonb, fence bigint default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  message public.agent_messages;
  is_late boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('result', complete_task.result);
  task := federation.lock_task(who.tenant, complete_task.task_id);
  if federation.speaks_for(task, who.agent, complete_task.fence) then
    update public.agent_tasks t set
      status = 'completed', result = complete_task.result, progress = 1, ended_at = now(), lease_until = null, error = null,
      started_at = coalesce(t.started_at, now())
    where t.row_id = task.row_id
    returning t.* into task;
    delete from public.agent_task_queue q where q.tenant_id = who.tenant and q.task_row = task.row_id;
    message.tenant_id := who.tenant;
    message.id := gen_random_uuid();
    message.from_agent := who.agent;
    message.to_agent := task.assigned_by;
    message.type := 'task_complete';
    message.payload := jsonb_build_object('task_id', task.task_id, 'result', task.result, 'completed_by', who.agent);
    message.hop_count := task.hop_count + 1;
    message.correlation_id := coalesce(task.correlation_id, task.task_id);
    message.traceparent := task.traceparent;
    perform federation.store_message(message);
  elsif complete_task.fence < task.fence and who.agent = any (task.holders) then
    -- Too late: somebody else has, or had, the task by now. What was brought is kept beside it, the last ten.
    is_late := true;
    update public.agent_tasks t set superseded_results = jsonb_path_query_array(
      t.superseded_results || jsonb_build_object('agent', who.agent, 'fence', complete_task.fence, 'result', complete_task.result, 'at', now()),
      '$[last - 9 to last]')
    where t.row_id = task.row_id returning t.* into task;
  elsif task.ended_at is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(complete_task.task_id), task.status, task.fence
      using errcode = '55000';
  elsif task.status <> 'completed' then
    raise exception 'task % has ended already: %', quote_literal(complete_task.task_id), task.status using errcode = '55000';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task) || case when is_late then '{"superseded": true}' else '{}'::jsonb end;
end
$$;
comment on function public.complete_task is 'Ends a task with its result and tells whoever assigned it; a result that comes too late is kept as superseded.';

create or replace function public.fail_task(
  task_id text, error text, fence bigint default null, retry boolean default true,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('error', fail_task.error, 65536);
  task := federation.lock_task(who.tenant, fail_task.task_id);
  if not federation.speaks_for(task, who.agent, fail_task.fence) then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(fail_task.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  if fail_task.retry then
    -- 1, 2, 4 … seconds, at most a minute, a quarter more or less.
    task := federation.give_back(task, fail_task.error,
      now() + least(60, power(2, greatest(task.attempt, 1) - 1)) * (0.75 + random() / 2) * interval '1 second');
  else
    task := federation.end_task(task, 'failed', fail_task.error);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.fail_task is 'Gives a task back after a back-off, or ends it: dead without attempts left, failed where no retry is wanted.';

create or replace function public.cancel_task(
  task_id text, reason text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('reason', cancel_task.reason, 65536, false);
  task := federation.lock_task(who.tenant, cancel_task.task_id);
  if who.agent <> task.assigned_by then
    raise exception 'task % was assigned by another agent', quote_literal(cancel_task.task_id) using errcode = '42501';
  end if;
  if task.ended_at is null then
    task := federation.end_task(task, 'cancelled', coalesce(cancel_task.reason, 'cancelled by ' || who.agent));
  elsif task.status <> 'cancelled' then
    raise exception 'task % has ended already: %', quote_literal(cancel_task.task_id), task.status using errcode = '55000';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.cancel_task is 'Ends a task that is not wanted any more; by whoever assigned it.';

create or replace function public.requeue_task(task_id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  task := federation.lock_task(who.tenant, requeue_task.task_id);
  if who.agent <> task.assigned_by then
    raise exception 'task % was assigned by another agent', quote_literal(requeue_task.task_id) using errcode = '42501';
  end if;
  if task.status not in ('dead', 'failed') then
    raise exception 'task % is %, not dead or failed', quote_literal(requeue_task.task_id), task.status using errcode = '55000';
  end if;
  update public.agent_tasks t set
    status = case when t.assigned_to is null then 'pending' else 'assigned' end, attempt = 0, error = null, ended_at = null,
    lease_agent = null, instance_id = null, fence = t.fence + 1,
    deadline = case when t.deadline > now() then t.deadline end, expires_at = case when t.expires_at > now() then t.expires_at end
  where t.row_id = task.row_id returning t.* into task;
  insert into public.agent_task_queue (tenant_id, task_row, assigned_to, capability, priority, fence)
  values (task.tenant_id, task.row_id, task.assigned_to, task.capability,
    array_position(array['critical', 'high', 'medium', 'low'], task.priority) - 1, task.fence);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.requeue_task is 'Lets a dead or failed task be tried again, with all its attempts; a deadline that has passed is dropped.';

create or replace function public.report_progress(
  task_id text, fence bigint, progress real default null, checkpoint jsonb default null, note text default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('checkpoint', report_progress.checkpoint),
    federation.check_text('note', report_progress.note, 65536, false);
  if report_progress.progress is not null and not (report_progress.progress >= 0 and report_progress.progress <= 1) then
    raise exception 'progress: expected a number from 0 to 1, got %', report_progress.progress using errcode = '22023';
  end if;
  task := federation.lock_task(who.tenant, report_progress.task_id);
  if report_progress.fence is null or not federation.speaks_for(task, who.agent, report_progress.fence) then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(report_progress.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  update public.agent_tasks t set
    progress = coalesce(report_progress.progress, t.progress), checkpoint = coalesce(report_progress.checkpoint, t.checkpoint),
    progress_note = coalesce(report_progress.note, t.progress_note),
    last_progress_at = now()
  where t.row_id = task.row_id returning t.* into task;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.report_progress is 'How far a held task is, and where the next attempt shall begin.';

create or replace function public.report_agent_gone(
  agent text, instance text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  shortened integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_agent('agent', agent), federation.check_text('instance', instance, 255);
  -- Long enough for a worker that is there after all to renew over REST.
  with cut as (
    update public.agent_tasks t set lease_until = now() + interval '1.5 seconds'
    where t.tenant_id = who.tenant and t.ended_at is null and t.lease_until > now() + interval '1.5 seconds'
      and t.lease_agent = report_agent_gone.agent and t.instance_id = report_agent_gone.instance
    returning t.row_id)
  update public.agent_task_queue q set lease_until = now() + interval '1.5 seconds'
  from cut where q.tenant_id = who.tenant and q.task_row = cut.row_id;
  get diagnostics shortened = row_count;
  -- So that the others need not say it too.
  perform federation.announce('federation:' || who.tenant || ':feed', 'agent_gone', jsonb_build_object('agent', agent, 'instance', instance));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return shortened;
end
$$;
comment on function public.report_agent_gone is 'A peer saw this process leave: its leases end in 1.5 seconds unless it renews them; how many.';

create or replace function public.list_tasks(
  statuses text[] default null, agent text default null, after_seq bigint default 0, max_rows integer default 100,
  as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.task_json(t) from public.agent_tasks t
    where t.tenant_id = who.tenant and t.seq > coalesce(list_tasks.after_seq, 0)
      and (list_tasks.statuses is null or t.status = any (list_tasks.statuses))
      and (list_tasks.agent is null or list_tasks.agent in (t.assigned_by, t.assigned_to, t.lease_agent))
    order by t.seq
    limit federation.check_rows(list_tasks.max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.list_tasks is 'Tasks by status and agent, in the order of their last change; `after_seq` is for the next page.';

do $$
declare
  definer text[] := array['federation_definer'];
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.claimable', definer);
  perform federation.hand_out('federation.end_task', definer);
  perform federation.hand_out('federation.give_back', definer);
  perform federation.hand_out('federation.release_tasks', definer);
  perform federation.hand_out('federation.lock_task', definer);
  perform federation.hand_out('federation.speaks_for', definer);
  perform federation.hand_out('public.claim_tasks', members, true);
  perform federation.hand_out('public.renew_tasks', members, true);
  perform federation.hand_out('public.complete_task', members, true);
  perform federation.hand_out('public.fail_task', members, true);
  perform federation.hand_out('public.cancel_task', members, true);
  perform federation.hand_out('public.requeue_task', members, true);
  perform federation.hand_out('public.report_progress', members, true);
  perform federation.hand_out('public.report_agent_gone', members, true);
  perform federation.hand_out('public.list_tasks', members);
end
$$;

-- 20261127130000_session_upkeep.sql
-- What keeps the sessions of a tenant true without a clock of its own: sweeping inside the calls that agents make anyway, and
-- telling the changes of a large room as at most one digest a second.
create table if not exists federation.upkeep (
  tenant_id text primary key check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  swept_at timestamptz not null default '-infinity',
  told_at timestamptz not null default '-infinity'
);
comment on table federation.upkeep is 'When a tenant was swept, and when its sessions were told last.';

create table if not exists federation.session_news (
  news_id bigint generated always as identity primary key,
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text not null
);
comment on table federation.session_news is 'Sessions of large rooms that changed and were not told yet.';
create index if not exists session_news_tenant on federation.session_news (tenant_id, news_id);

do $$
declare
  name text;
begin
  foreach name in array array['upkeep', 'session_news'] loop
    execute format('alter table federation.%I enable row level security', name);
    execute format('revoke all on federation.%I from public, anon, authenticated, service_role', name);
    execute format('grant select, insert, update, delete on federation.%I to federation_definer', name);
    execute format('drop policy if exists "functions, in the tenant they act for" on federation.%I', name);
    -- Triggers note news for whatever row was written, also when the service role wrote it without naming a tenant.
    execute format('create policy "functions, in the tenant they act for" on federation.%I for all to federation_definer
      using (tenant_id = coalesce((select federation.tenant_id()), tenant_id)) with check (true)', name);
  end loop;
end
$$;

create index if not exists agent_sessions_cursor on public.agent_sessions (tenant_id, seq);

-- What others are told of a session. Metadata that is not small is read where it is wanted.
create or replace function federation.session_news_json(session public.agent_sessions)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(session) - '{row_id,tx,tenant_id,version,timeout_seconds}'::text[]
    - case when octet_length(session.metadata::text) > 2048 then '{metadata}' else '{}' end::text[]
$$;

-- From this many open sessions on, a room is told of changes by digests.
create or replace function federation.is_large_room(tenant text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select count(*) > 100 from (
    select from public.agent_sessions s where s.tenant_id = tenant and s.ended_at is null limit 101) open_ones
$$;

-- Tells what waits, unless that was done less than a second ago or somebody is at it. Returns after how many milliseconds it may
-- be done; null when nothing waits. Frames stay under 200 kB.
create or replace function federation.tell_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  due_ms integer;
  change record;
  told jsonb[] := '{}';
  told_bytes integer := 0;
begin
  if not exists (select from federation.session_news n where n.tenant_id = tenant) then
    return null;
  end if;
  select ceil(1000 - extract(epoch from clock_timestamp() - u.told_at) * 1000) into due_ms
  from federation.upkeep u where u.tenant_id = tenant and u.told_at > clock_timestamp() - interval '1 second';
  if due_ms > 0 then
    return due_ms;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.tell_sessions ' || tenant, 0)) then
    return 1000;
  end if;
  insert into federation.upkeep (tenant_id, told_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set told_at = excluded.told_at;
  for change in
    with news as (
      delete from federation.session_news n where n.news_id in (
        select w.news_id from federation.session_news w where w.tenant_id = tenant
        order by w.news_id limit 5000 for update skip locked)
      returning n.session_id)
    select federation.session_news_json(s) as session from public.agent_sessions s
    where s.tenant_id = tenant and s.session_id in (select n.session_id from news n)
    order by s.seq
  loop
    if told_bytes + octet_length(change.session::text) > 199000 then
      perform federation.announce('federation:' || tenant || ':feed', 'sessions', jsonb_build_object('sessions', to_jsonb(told)));
      told := '{}';
      told_bytes := 0;
    end if;
    told := told || change.session;
    told_bytes := told_bytes + octet_length(change.session::text) + 2;
  end loop;
  if cardinality(told) > 0 then
    perform federation.announce('federation:' || tenant || ':feed', 'sessions', jsonb_build_object('sessions', to_jsonb(told)));
  end if;
  return (select 1000 from federation.session_news n where n.tenant_id = tenant limit 1);
end
$$;
comment on function federation.tell_sessions(text) is 'Tells a large room what changed, at most once a second; when it may be done again.';

create or replace function federation.tell_session()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' or (old.ended_at is not null and new.ended_at is null) then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_opened', new.session_id);
  elsif old.ended_at is null and new.ended_at is not null then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_closed', new.session_id);
  elsif old.seq = new.seq then
    return null; -- a heartbeat is nobody's news
  end if;
  if federation.is_large_room(new.tenant_id) then
    insert into federation.session_news (tenant_id, session_id) values (new.tenant_id, new.session_id);
    perform federation.tell_sessions(new.tenant_id);
  else
    perform federation.announce('federation:' || new.tenant_id || ':feed', 'sessions', jsonb_build_object(
      'sessions', jsonb_build_array(federation.session_news_json(new))));
  end if;
  return null;
end
$$;

-- Ends the sessions that have been silent for too long.
create or replace function federation.end_silent_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  ended integer;
begin
  update public.agent_sessions s set status = 'offline', ended_at = now(), end_reason = 'timeout'
  where s.row_id in (
    select d.row_id from public.agent_sessions d
    where d.tenant_id = tenant and d.ended_at is null and d.last_seen_at < now() - make_interval(secs => d.timeout_seconds)
    order by d.last_seen_at limit 500 for update skip locked);
  get diagnostics ended = row_count;
  return ended;
end
$$;

-- Everything that time alone makes due in a tenant: at most once a second, in whoever's call comes first. Others do not wait for it.
create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  delete from public.agent_locks l where l.tenant_id = tenant and l.expires_at < now() - interval '1 day';
  perform federation.tell_sessions(tenant);
  return done;
end
$$;
comment on function federation.sweep(text, boolean) is 'Ends what has timed out in a tenant; counts what it did.';

create or replace function public.open_session(
  session_id text, instance_id text default null, status text default 'online', task text default null,
  capabilities text[] default '{}', metadata jsonb default '{}', timeout_seconds integer default 90,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', open_session.session_id, 255),
    federation.check_text('instance_id', open_session.instance_id, 255, false),
    federation.check_text('status', open_session.status, 64),
    federation.check_text('task', open_session.task, 65536, false),
    federation.check_text('capabilities', array_to_string(open_session.capabilities, ','), 65536, false),
    federation.check_json('metadata', open_session.metadata, 65536);
  if jsonb_typeof(open_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(open_session.metadata) using errcode = '22023';
  end if;
  if open_session.timeout_seconds not between 1 and 86400 then
    raise exception 'timeout_seconds: expected 1 to 86400, got %', open_session.timeout_seconds using errcode = '22023';
  end if;
  if exists (
    select from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = open_session.session_id and s.agent_id = who.agent and s.end_reason = 'replaced') then
    raise exception 'session % was replaced by another process of agent %', quote_literal(open_session.session_id), who.agent
      using errcode = '55000', hint = 'It runs exclusively; end that process, or open a new session.';
  end if;
  insert into public.agent_sessions as s (
    tenant_id, session_id, agent_id, instance_id, status, task, capabilities, metadata, timeout_seconds)
  values (
    who.tenant, open_session.session_id, who.agent, open_session.instance_id, open_session.status, open_session.task,
    coalesce(open_session.capabilities, '{}'), coalesce(open_session.metadata, '{}'), coalesce(open_session.timeout_seconds, 90))
  on conflict (tenant_id, session_id) do update set
    instance_id = excluded.instance_id, status = excluded.status, task = excluded.task, capabilities = excluded.capabilities,
    metadata = excluded.metadata, timeout_seconds = excluded.timeout_seconds, last_seen_at = now(),
    started_at = case when s.ended_at is null then s.started_at else now() end, ended_at = null, end_reason = null
  where s.agent_id = excluded.agent_id
  returning s.* into session;
  if session.row_id is null then
    raise exception 'session % belongs to another agent', quote_literal(open_session.session_id) using errcode = '42501';
  end if;
  perform federation.sweep(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', federation.tell_sessions(who.tenant));
end
$$;
comment on function public.open_session is 'Opens a session of the acting agent, or reopens it; one that was replaced stays ended.';

create or replace function public.end_older_sessions(session_id text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  ended integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into session from public.agent_sessions s
  where s.tenant_id = who.tenant and s.session_id = end_older_sessions.session_id and s.agent_id = who.agent and s.ended_at is null;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(end_older_sessions.session_id) using errcode = 'P0002';
  end if;
  -- Of two that do this at once the newer one stays, whoever comes first.
  update public.agent_sessions s set status = 'offline', ended_at = now(), end_reason = 'replaced'
  where s.tenant_id = who.tenant and s.agent_id = who.agent and s.ended_at is null
    and (s.started_at, s.row_id) < (session.started_at, session.row_id);
  get diagnostics ended = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return ended;
end
$$;
comment on function public.end_older_sessions is 'Ends the acting agent''s sessions that are older than this one, as replaced; how many.';

create or replace function public.set_load(
  session_id text, load real, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if set_load.load is null or not (set_load.load >= 0 and set_load.load <= 1) then
    raise exception 'load: expected a number from 0 to 1, got %', coalesce(set_load.load::text, 'nothing') using errcode = '22023';
  end if;
  update public.agent_sessions s set load = set_load.load, last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = set_load.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(set_load.session_id) using errcode = 'P0002';
  end if;
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', tell_in_ms);
end
$$;
comment on function public.set_load is 'How busy a session is, from 0 to 1.';

create or replace function public.heartbeat(
  session_id text, status text default null, task text default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  positions jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', heartbeat.session_id, 255),
    federation.check_text('status', coalesce(heartbeat.status, 'unchanged'), 64),
    federation.check_text('task', heartbeat.task, 65536, false);
  update public.agent_sessions s set
    last_seen_at = now(),
    status = coalesce(heartbeat.status, s.status),
    task = case when heartbeat.status is null then coalesce(heartbeat.task, s.task) else heartbeat.task end
  where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent and s.ended_at is null
  returning s.* into session;
  if not found then
    select * into session from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent;
  end if;
  perform federation.sweep(who.tenant);
  select jsonb_build_object(
    'inbox', coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent = who.agent), 0),
    'feed', greatest(
      coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent is null), 0),
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope <> 'agent'), 0)),
    'queue', greatest(
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to = who.agent), 0),
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to is null), 0)),
    'roster', coalesce((select max(s.seq) from public.agent_sessions s where s.tenant_id = who.tenant), 0))
  into positions;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object(
    'server_time', clock_timestamp(), 'alive', session.row_id is not null and session.ended_at is null,
    'end_reason', session.end_reason, 'positions', positions);
end
$$;
comment on function public.heartbeat is 'Keeps a session alive; answers the newest positions of inbox, feed, queue and roster, and sweeps the tenant.';

create or replace function public.update_session(
  session_id text, status text, task text default null, metadata jsonb default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', update_session.session_id, 255),
    federation.check_text('status', update_session.status, 64),
    federation.check_text('task', update_session.task, 65536, false),
    federation.check_json('metadata', update_session.metadata, 65536);
  if jsonb_typeof(update_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(update_session.metadata) using errcode = '22023';
  end if;
  update public.agent_sessions s set
    status = update_session.status, task = update_session.task,
    metadata = coalesce(update_session.metadata, s.metadata), last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = update_session.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(update_session.session_id) using errcode = 'P0002';
  end if;
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', tell_in_ms);
end
$$;
comment on function public.update_session is 'Sets status and task of an open session; P0002 when there is none.';

create or replace function public.tell_sessions(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return tell_in_ms;
end
$$;
comment on function public.tell_sessions is 'Tells a large room which sessions changed, unless that was done within this second; after how many milliseconds it may be.';

create or replace function federation.sweep_own()
returns jsonb
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select federation.sweep(federation.tenant_id(), true) $$;

create or replace function public.sweep(as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  done jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    done := federation.sweep_own();
  else
    -- A service that names no tenant sweeps all of them, one after the other; nobody else gets here.
    select coalesce(jsonb_object_agg(c.what, c.many), '{}') into done
    from (
      select w.key as what, sum(w.value::bigint) as many
      from (select distinct s.tenant_id from public.agent_sessions s where s.ended_at is null) t,
        lateral jsonb_each_text(public.sweep(null, t.tenant_id)) w
      group by w.key) c;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return done;
end
$$;
comment on function public.sweep is 'Ends what has timed out, in the caller''s tenant or for a service in all; counts what it did.';

create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories() and cleanup_tombstones() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$$;
comment on function public.schedule_maintenance is 'Has pg_cron clean up every five minutes and sweep every minute, where there is one.';

-- As before, and what is told of sessions.
create or replace function federation.forget_broadcasts(tenant text, agent text, ids text[])
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  room constant text := 'federation:' || tenant;
  forgotten integer;
  mine constant text := format($q$
    (m.topic = %1$L or starts_with(m.topic, %1$L || ':')) and (
      %2$L is null
      or m.topic = %1$L || ':agent:' || %2$L
      or %2$L in (m.payload ->> 'from_agent', m.payload ->> 'agent_id', m.payload ->> 'assigned_to', m.payload ->> 'assigned_by',
        m.payload ->> 'agent', m.payload ->> 'holder',
        m.payload #>> '{message,from_agent}', m.payload #>> '{message,to_agent}')
      or m.payload ->> 'id' = any (%3$L::text[])
      or (jsonb_typeof(m.payload -> 'ids') = 'array' and m.payload -> 'ids' ?| %3$L::text[])
      or (jsonb_typeof(m.payload -> 'memories') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'memories') k where %2$L in (k ->> 'agent_id', k ->> 'written_by')))
      or (jsonb_typeof(m.payload -> 'sessions') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'sessions') s where s ->> 'agent_id' = %2$L)))
    $q$, room, agent, ids);
begin
  if has_table_privilege('realtime.messages', 'delete') then
    execute 'delete from realtime.messages m where ' || mine;
  else
    execute $q$update realtime.messages m set payload = '{}', topic = 'federation-forgotten', event = null where $q$ || mine;
  end if;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;

-- As before, and what this file brought.
create or replace function federation.remove(tenant text, agent text)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_locks l where l.tenant_id = tenant and (agent is null or l.holder = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_locks', removed);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  definer text[] := array['federation_definer'];
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.session_news_json', definer);
  perform federation.hand_out('federation.is_large_room', definer);
  perform federation.hand_out('federation.tell_sessions', definer);
  perform federation.hand_out('federation.end_silent_sessions', definer);
  perform federation.hand_out('federation.sweep', definer);
  perform federation.hand_out('federation.tell_session', '{}', true);
  perform federation.hand_out('federation.remove', definer);
  perform federation.hand_out('federation.sweep_own', members, true);
  perform federation.hand_out('public.open_session', members, true);
  perform federation.hand_out('public.end_older_sessions', members, true);
  perform federation.hand_out('public.set_load', members, true);
  perform federation.hand_out('public.heartbeat', members, true);
  perform federation.hand_out('public.update_session', members, true);
  perform federation.hand_out('public.tell_sessions', members, true);
  perform federation.hand_out('public.sweep', members);
  perform federation.hand_out('public.schedule_maintenance', array['service_role']);
end
$$;

-- 20261127140000_message_receipts.sql
-- How far a message got: receipts for who sent it, deliveries counted, dead letters, replies found again after a restart.
alter table public.agent_messages add column if not exists receipts boolean not null default false;
comment on column public.agent_messages.receipts is 'Whether the sender is told when it is delivered, handled or dead.';
create index if not exists agent_messages_replies on public.agent_messages (tenant_id, reply_to) where reply_to is not null;
create index if not exists agent_messages_dead on public.agent_messages (tenant_id, to_agent, seq) where dead_at is not null;

-- Whoever gets a receipt believes it, so receipts come from the facts alone.
alter table public.agent_messages drop constraint if exists receipts_are_not_sent;
alter table public.agent_messages add constraint receipts_are_not_sent check (type <> 'receipt') not valid;

create or replace function federation.receipt_json(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'id', message.id, 'to_agent', message.to_agent, 'type', message.type, 'stored_at', message.created_at,
    'delivered_at', message.delivered_at, 'handled_at', message.handled_at, 'dead_at', message.dead_at,
    'delivery_attempt', message.delivery_attempt, 'last_error', message.last_error)
$$;

-- Told in the sender's inbox, in the transaction that changed the fact.
create or replace function federation.tell_receipt()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.receipts and (old.delivered_at, old.handled_at, old.dead_at) is distinct from (new.delivered_at, new.handled_at, new.dead_at) then
    perform federation.announce(
      'federation:' || new.tenant_id || ':agent:' || new.from_agent, 'receipt', federation.receipt_json(new));
  end if;
  return null;
end
$$;
create or replace trigger tell_receipt after update of delivered_at, handled_at, dead_at on public.agent_messages
  for each row when (new.receipts) execute function federation.tell_receipt();

create or replace function public.ask_receipts(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  receipt jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set receipts = true
  where m.tenant_id = who.tenant and m.id = ask_receipts.id and m.from_agent = who.agent
  returning federation.receipt_json(m) into receipt;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  if receipt is null then
    raise exception 'no message % of this sender', quote_literal(ask_receipts.id) using errcode = 'P0002';
  end if;
  return receipt;
end
$$;
comment on function public.ask_receipts is 'From now on the acting agent is told how far its message gets; answers how far it has got.';

-- Counts a delivery before the handler begins, so that a message whose handler kills its process is counted, too.
create or replace function public.deliver_messages(
  ids text[], max_deliveries integer default 5, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_deliveries is null or max_deliveries < 1 then
    raise exception 'max_deliveries: expected 1 or more, got %', coalesce(max_deliveries::text, 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  return query
    with wanted as (
      select m.row_id from public.agent_messages m
      where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      order by m.row_id for update)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.deliver_messages is 'Counts a delivery of messages to the acting agent; those that had max_deliveries become dead letters.';

create or replace function public.fail_message(
  id text, error text, dead boolean default false, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set
    last_error = left(coalesce(fail_message.error, 'no reason given'), 2000),
    delivered_at = coalesce(m.delivered_at, now()),
    dead_at = case when fail_message.dead then now() end
  where m.tenant_id = who.tenant and m.id = fail_message.id and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null;
  get diagnostics changed = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed > 0;
end
$$;
comment on function public.fail_message is 'Notes why a handler failed; with dead, the message is a dead letter and not delivered any more.';

create or replace function public.requeue_message(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set dead_at = null, delivery_attempt = 0
  where m.tenant_id = who.tenant and m.id = requeue_message.id and m.to_agent = who.agent and m.dead_at is not null;
  get diagnostics changed = row_count;
  if changed > 0 then
    perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'message', jsonb_build_object('id', requeue_message.id));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed > 0;
end
$$;
comment on function public.requeue_message is 'Takes a message to the acting agent out of its dead letters: it is delivered again.';

create or replace function federation.message_facts(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select federation.message_json(message) || federation.receipt_json(message) || jsonb_build_object('expires_at', message.expires_at) $$;

create or replace function public.get_message(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  found_one jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select federation.message_facts(m) into found_one from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return found_one;
end
$$;
comment on function public.get_message is 'A message that the acting agent sent or may read, with how far it got; null when there is none.';

-- `filter`: box ("inbox", "sent", "all"), state ("waiting", "delivered", "handled", "dead"), type, peer, reply_to, before_seq.
create or replace function public.list_messages(
  filter jsonb default '{}', max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  box text := coalesce(filter ->> 'box', 'all');
  state text := filter ->> 'state';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if box not in ('inbox', 'sent', 'all') then
    raise exception 'box: expected inbox, sent or all, got %', quote_literal(left(box, 150)) using errcode = '22023';
  end if;
  if state not in ('waiting', 'delivered', 'handled', 'dead') then
    raise exception 'state: expected waiting, delivered, handled or dead, got %', quote_literal(left(state, 150)) using errcode = '22023';
  end if;
  return query
    select federation.message_facts(m) from public.agent_messages m
    where m.tenant_id = who.tenant
      and case box
        when 'inbox' then m.to_agent = who.agent
        when 'sent' then m.from_agent = who.agent
        else m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent end
      and case state
        when 'waiting' then m.to_agent is not null and m.delivered_at is null and m.dead_at is null
        when 'delivered' then m.delivered_at is not null and m.handled_at is null and m.dead_at is null
        when 'handled' then m.handled_at is not null
        when 'dead' then m.dead_at is not null
        else true end
      and (filter ->> 'type' is null or m.type = filter ->> 'type')
      and (filter ->> 'peer' is null or filter ->> 'peer' in (m.from_agent, m.to_agent))
      and (filter ->> 'reply_to' is null or m.reply_to = filter ->> 'reply_to')
      and (filter ->> 'before_seq' is null or m.seq < (filter ->> 'before_seq')::bigint)
    order by m.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.list_messages is 'Messages that the acting agent sent or may read, newest first; page with before_seq.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.receipt_json', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('federation.message_facts', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('federation.tell_receipt', '{}', true);
  perform federation.hand_out('public.ask_receipts', members, true);
  perform federation.hand_out('public.deliver_messages', members, true);
  perform federation.hand_out('public.fail_message', members, true);
  perform federation.hand_out('public.requeue_message', members, true);
  perform federation.hand_out('public.get_message', members);
  perform federation.hand_out('public.list_messages', members);
end
$$;

-- 20261127150000_task_flow.sql
-- What moves tasks: who is woken, what waits for what, questions to people, several tasks in one call.

alter table public.agent_tasks add column if not exists question text;
alter table public.agent_tasks add column if not exists answer jsonb;
create index if not exists agent_tasks_dependencies on public.agent_tasks using gin (dependencies) where ended_at is null;

-- Everybody hears how a task goes; results and checkpoints are read by whoever wants them.
create or replace function federation.tell_task()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  is_news boolean := tg_op = 'INSERT';
begin
  if tg_op = 'UPDATE' then
    is_news := (old.status, old.assigned_to, old.attempt) is distinct from (new.status, new.assigned_to, new.attempt);
    if not is_news and (old.progress, old.progress_note) is not distinct from (new.progress, new.progress_note) then
      return null;
    end if;
  end if;
  if federation.is_quiet() then
    return null;
  end if;
  perform federation.announce('federation:' || new.tenant_id || ':feed', 'task', jsonb_strip_nulls(jsonb_build_object(
    'change', case when is_news then new.status else 'progress' end, 'task_id', new.task_id, 'status', new.status,
    'assigned_to', new.assigned_to, 'assigned_by', new.assigned_by, 'capability', new.capability, 'agent', new.lease_agent,
    'attempt', new.attempt, 'progress', new.progress, 'note', left(new.progress_note, 2000), 'question', left(new.question, 2000),
    'error', left(new.error, 2000))));
  if tg_op = 'INSERT' then
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    values (new.tenant_id, new.assigned_by, 'task_assigned', new.task_id, new.assigned_to);
  elsif old.status is distinct from new.status and new.status in ('completed', 'failed', 'dead', 'cancelled') then
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    values (new.tenant_id, coalesce(new.lease_agent, new.assigned_to, new.assigned_by), 'task_' || new.status, new.task_id, new.assigned_by);
  end if;
  return null;
end
$$;

-- A task that can be claimed, now or in a while, wakes those who may: its agent in its inbox, otherwise everybody.
create or replace function federation.wake_workers()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  task public.agent_tasks;
begin
  if new.lease_until is not null or new.ready_at = 'infinity' or federation.is_quiet()
    or (tg_op = 'UPDATE' and old.lease_until is null and old.ready_at is not distinct from new.ready_at) then
    return null;
  end if;
  select t.* into task from public.agent_tasks t where t.row_id = new.task_row;
  perform federation.announce(
    'federation:' || new.tenant_id || coalesce(':agent:' || new.assigned_to, ':feed'), 'task_ready', jsonb_build_object(
      'task_id', task.task_id, 'assigned_by', task.assigned_by, 'assigned_to', new.assigned_to, 'capability', new.capability,
      'ready_in_ms', greatest(0, ceil(extract(epoch from new.ready_at - now()) * 1000))));
  return null;
end
$$;
create or replace trigger wake after insert or update on public.agent_task_queue
  for each row execute function federation.wake_workers();

-- What `task` still waits for: not there yet, or not ended well where that is asked for.
create or replace function federation.is_waiting(task public.agent_tasks)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from unnest(task.dependencies) needed
    left join public.agent_tasks d on d.tenant_id = task.tenant_id and d.task_id = needed
    where d.status is null or d.ended_at is null
      or (d.status <> 'completed' and coalesce(task.details ->> 'on_dependency_failure', 'fail') <> 'release'))
$$;

-- A task with dependencies is queued and cannot be claimed before they are completed. Circles are refused.
create or replace function federation.hold_dependent()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  task public.agent_tasks;
  circle text;
begin
  select t.* into task from public.agent_tasks t where t.row_id = new.task_row;
  if cardinality(task.dependencies) = 0 then
    return new;
  end if;
  if coalesce(task.details ->> 'on_dependency_failure', 'fail') not in ('fail', 'release') then
    raise exception 'on_dependency_failure: expected fail or release, got %', quote_literal(task.details ->> 'on_dependency_failure') using errcode = '22023';
  end if;
  with recursive reached (id) as (
    select unnest(task.dependencies)
    union
    select unnest(d.dependencies) from reached r
    join public.agent_tasks d on d.tenant_id = task.tenant_id and d.task_id = r.id where d.ended_at is null)
  select r.id into circle from reached r where r.id = task.task_id;
  if found then
    raise exception 'task % waits for itself, by way of its dependencies', quote_literal(circle) using errcode = '22023';
  end if;
  if federation.is_waiting(task) then
    new.ready_at := 'infinity';
  end if;
  return new;
end
$$;
create or replace trigger hold before insert on public.agent_task_queue
  for each row execute function federation.hold_dependent();

-- The end of a task lets those go that waited for it, or fails them.
create or replace function federation.release_dependents()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  task public.agent_tasks;
begin
  if federation.is_quiet() then
    return null;
  end if;
  -- In the order of their ids, so that two that end at once wait for each other in one order.
  for task in
    select t.* from public.agent_tasks t
    where t.tenant_id = new.tenant_id and t.ended_at is null and t.dependencies @> array[new.task_id]
    order by t.task_id for update
  loop
    if new.status <> 'completed' and coalesce(task.details ->> 'on_dependency_failure', 'fail') = 'fail' then
      perform federation.end_task(task, 'failed', 'task ' || quote_literal(new.task_id) || ', which it depends on, is ' || new.status);
    elsif not federation.is_waiting(task) then
      update public.agent_task_queue q set ready_at = now()
      where q.tenant_id = task.tenant_id and q.task_row = task.row_id and q.ready_at = 'infinity';
    end if;
  end loop;
  return null;
end
$$;
create or replace trigger release_dependents after update of ended_at on public.agent_tasks
  for each row when (old.ended_at is null and new.ended_at is not null) execute function federation.release_dependents();

create or replace function public.assign_tasks(tasks jsonb, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if tasks is null or jsonb_typeof(tasks) <> 'array' or jsonb_array_length(tasks) > 1000 then
    raise exception 'tasks: expected an array of at most 1,000 tasks, got %', coalesce(jsonb_typeof(tasks), 'nothing') using errcode = '22023';
  end if;
  return query
    select public.assign_task(t.task, assign_tasks.as_agent, assign_tasks.as_tenant)
    from jsonb_array_elements(tasks) with ordinality t(task, place) order by t.place;
end
$$;
comment on function public.assign_tasks is 'Assigns all of these tasks or none, in their order.';

create or replace function public.release_task(task_id text, fence bigint, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  task := federation.lock_task(who.tenant, release_task.task_id);
  if not federation.speaks_for(task, who.agent, release_task.fence) or task.lease_until is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(release_task.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  -- Nobody failed, so this attempt does not count.
  update public.agent_tasks t set attempt = t.attempt - 1 where t.row_id = task.row_id returning t.* into task;
  task := federation.give_back(task, task.error, now());
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.release_task is 'Gives a held task back unfinished: another worker may claim it at once.';

create or replace function public.request_input(
  task_id text, fence bigint, question text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('question', request_input.question, 65536);
  task := federation.lock_task(who.tenant, request_input.task_id);
  if not federation.speaks_for(task, who.agent, request_input.fence) then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(request_input.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  -- Asked already, by an attempt that did not live to hear the answer.
  if task.question is distinct from request_input.question or task.answer is null then
    update public.agent_tasks t set status = 'input_required', question = request_input.question, answer = null
    where t.row_id = task.row_id returning t.* into task;
    message.tenant_id := who.tenant;
    message.id := gen_random_uuid();
    message.from_agent := who.agent;
    message.to_agent := task.assigned_by;
    message.type := 'task_input_required';
    message.payload := jsonb_build_object('task_id', task.task_id, 'question', task.question, 'agent', who.agent);
    message.hop_count := task.hop_count + 1;
    message.correlation_id := coalesce(task.correlation_id, task.task_id);
    message.traceparent := task.traceparent;
    perform federation.store_message(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.request_input is 'A held task needs an answer before it can go on; tells whoever assigned it.';

create or replace function public.answer_task(task_id text, answer jsonb, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('answer', answer_task.answer);
  if answer_task.answer is null then
    raise exception 'answer: expected a value, got nothing' using errcode = '22023';
  end if;
  task := federation.lock_task(who.tenant, answer_task.task_id);
  if task.status <> 'input_required' then
    raise exception 'task % is %: it has asked nothing', quote_literal(answer_task.task_id), task.status using errcode = '55000';
  end if;
  update public.agent_tasks t set status = 'in_progress', answer = answer_task.answer
  where t.row_id = task.row_id returning t.* into task;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;
comment on function public.answer_task is 'Answers the question of a task, by any member of the tenant.';

do $$
declare
  definer text[] := array['federation_definer'];
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.is_waiting', definer);
  perform federation.hand_out('federation.wake_workers', '{}', true);
  perform federation.hand_out('federation.hold_dependent', '{}');
  perform federation.hand_out('federation.release_dependents', '{}', true);
  perform federation.hand_out('public.assign_tasks', members);
  perform federation.hand_out('public.release_task', members, true);
  perform federation.hand_out('public.request_input', members, true);
  perform federation.hand_out('public.answer_task', members, true);
end
$$;

-- 20261127151000_locks.sql
-- Named locks: a lease on any name in the tenant, so that two agents do not edit one file at once. Whoever holds one is told when it is
-- renewed too late; a fence that grows with every holder lets what the lock protects refuse who came too late as well.

create table if not exists public.agent_locks (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  name text not null check (octet_length(name) between 1 and 1024),
  holder text not null check (holder ~ '^[A-Za-z0-9._@-]{1,128}$'),
  instance_id text not null check (octet_length(instance_id) between 1 and 255),
  -- Grows with every holder: whatever the lock protects can refuse what comes with an older one.
  fence bigint not null,
  taken_at timestamptz not null default now(),
  expires_at timestamptz not null,
  unique (tenant_id, name)
);
comment on table public.agent_locks is 'Locks that are held, or have run out and were not taken since.';
create index if not exists agent_locks_age on public.agent_locks (expires_at);
create sequence if not exists federation.lock_fence as bigint;
revoke all on sequence federation.lock_fence from public, anon, authenticated, service_role;
grant usage on sequence federation.lock_fence to federation_definer;

alter table public.agent_locks enable row level security;
revoke all on public.agent_locks from public, anon, authenticated, service_role;
grant select on public.agent_locks to authenticated;
grant select, insert, update, delete on public.agent_locks to service_role, federation_definer;
drop policy if exists "members read" on public.agent_locks;
create policy "members read" on public.agent_locks for select to authenticated
  using (tenant_id = (select federation.tenant_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_locks;
create policy "functions, in the tenant they act for" on public.agent_locks for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

create or replace function federation.lock_json(lock public.agent_locks)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'name', lock.name, 'holder', lock.holder, 'instance_id', lock.instance_id, 'fence', lock.fence, 'taken_at', lock.taken_at,
    'expires_at', lock.expires_at, 'left_ms', greatest(0, ceil(extract(epoch from lock.expires_at - clock_timestamp()) * 1000)))
$$;

create or replace function public.take_lock(
  name text, instance_id text, ttl_ms integer default 30000, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  lock public.agent_locks;
  until timestamptz;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('name', take_lock.name, 1024), federation.check_text('instance_id', take_lock.instance_id, 255);
  if take_lock.ttl_ms is null or take_lock.ttl_ms not between 100 and 86400000 then
    raise exception 'ttl_ms: expected 100 to 86400000, got %', coalesce(take_lock.ttl_ms::text, 'nothing') using errcode = '22023';
  end if;
  until := clock_timestamp() + take_lock.ttl_ms * interval '1 millisecond';
  insert into public.agent_locks as l (tenant_id, name, holder, instance_id, fence, expires_at)
  values (who.tenant, take_lock.name, who.agent, take_lock.instance_id, nextval('federation.lock_fence'), until)
  on conflict (tenant_id, name) do update set
    holder = excluded.holder, instance_id = excluded.instance_id, fence = excluded.fence, taken_at = now(), expires_at = excluded.expires_at
  where l.expires_at < clock_timestamp() or (l.holder, l.instance_id) = (excluded.holder, excluded.instance_id)
  returning l.* into lock;
  if lock.row_id is null then
    select l.* into lock from public.agent_locks l where l.tenant_id = who.tenant and l.name = take_lock.name;
    perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    return coalesce(federation.lock_json(lock), '{}') || '{"held": false}';
  end if;
  perform federation.announce('federation:' || who.tenant || ':feed', 'lock', jsonb_build_object(
    'name', lock.name, 'state', 'taken', 'holder', lock.holder, 'fence', lock.fence));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.lock_json(lock) || '{"held": true}';
end
$$;
comment on function public.take_lock is 'Takes a lock that nobody holds, for so long; `held` says whether, the rest who holds it.';

create or replace function public.renew_lock(
  name text, fence bigint, ttl_ms integer default 30000, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  is_held boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if renew_lock.ttl_ms is null or renew_lock.ttl_ms not between 100 and 86400000 then
    raise exception 'ttl_ms: expected 100 to 86400000, got %', coalesce(renew_lock.ttl_ms::text, 'nothing') using errcode = '22023';
  end if;
  -- Also one that has run out, as long as nobody took it.
  update public.agent_locks l set expires_at = clock_timestamp() + renew_lock.ttl_ms * interval '1 millisecond'
  where l.tenant_id = who.tenant and l.name = renew_lock.name and l.fence = renew_lock.fence and l.holder = who.agent;
  is_held := found;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_held;
end
$$;
comment on function public.renew_lock is 'Holds a lock for so long from now; false when somebody else has taken it.';

create or replace function public.release_lock(name text, fence bigint, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  is_held boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  delete from public.agent_locks l
  where l.tenant_id = who.tenant and l.name = release_lock.name and l.fence = release_lock.fence and l.holder = who.agent;
  is_held := found;
  if is_held then
    perform federation.announce('federation:' || who.tenant || ':feed', 'lock', jsonb_build_object(
      'name', release_lock.name, 'state', 'freed', 'holder', who.agent, 'fence', release_lock.fence));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_held;
end
$$;
comment on function public.release_lock is 'Lets a lock go and tells everybody; false when it was not held any more.';

create or replace function public.get_lock(name text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  lock public.agent_locks;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select l.* into lock from public.agent_locks l
  where l.tenant_id = who.tenant and l.name = get_lock.name and l.expires_at > clock_timestamp();
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return case when lock.row_id is not null then federation.lock_json(lock) end;
end
$$;
comment on function public.get_lock is 'Who holds a lock, or null.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.lock_json', members || array['federation_definer']);
  perform federation.hand_out('public.take_lock', members, true);
  perform federation.hand_out('public.renew_lock', members, true);
  perform federation.hand_out('public.release_lock', members, true);
  perform federation.hand_out('public.get_lock', members);
end
$$;

-- 20261127160000_inbox_turns.sql
-- Several processes of one agent: whose turn it is to handle the agent's messages.
create table if not exists federation.inbox_turns (
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text not null check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text not null,
  -- Another process asked whether the holder is still there, and it has not answered yet.
  asked_at timestamptz,
  primary key (tenant_id, agent_id),
  foreign key (tenant_id, session_id) references public.agent_sessions (tenant_id, session_id) on delete cascade
);
comment on table federation.inbox_turns is 'Which process of an agent handles its messages.';
create index if not exists inbox_turns_session on federation.inbox_turns (tenant_id, session_id);

alter table federation.inbox_turns enable row level security;
revoke all on federation.inbox_turns from public, anon, authenticated, service_role;
grant select, insert, update on federation.inbox_turns to federation_definer;
drop policy if exists "functions, in the tenant they act for" on federation.inbox_turns;
create policy "functions, in the tenant they act for" on federation.inbox_turns for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- The turn stays with its holder for as long as that lives. A newcomer cannot know whether it does: a killed process keeps its
-- session until that has been silent for its timeout. So it is asked, in the agent's inbox, and has a second to answer.
create or replace function public.take_inbox(
  session_id text, asked boolean default false, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  holder record;
  ask_again_ms integer;
  is_first boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', take_inbox.session_id, 255);
  perform pg_advisory_xact_lock(hashtextextended('federation.take_inbox ' || who.tenant || ' ' || who.agent, 0));
  if not exists (
    select from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = take_inbox.session_id and s.agent_id = who.agent and s.ended_at is null) then
    raise exception 'no open session % of this agent', quote_literal(take_inbox.session_id) using errcode = 'P0002';
  end if;
  select t.session_id, t.asked_at into holder
  from federation.inbox_turns t join public.agent_sessions s on s.tenant_id = t.tenant_id and s.session_id = t.session_id
  where t.tenant_id = who.tenant and t.agent_id = who.agent and s.ended_at is null
    and s.last_seen_at >= now() - make_interval(secs => s.timeout_seconds);
  if holder.session_id is null or holder.session_id = take_inbox.session_id
    or holder.asked_at < clock_timestamp() - interval '1 second' then
    insert into federation.inbox_turns as t (tenant_id, agent_id, session_id, asked_at)
    values (who.tenant, who.agent, take_inbox.session_id, null)
    on conflict (tenant_id, agent_id) do update set session_id = excluded.session_id, asked_at = null;
    is_first := true;
  elsif not coalesce(asked, false) or holder.asked_at is not null then
    if holder.asked_at is null then
      update federation.inbox_turns t set asked_at = clock_timestamp() where t.tenant_id = who.tenant and t.agent_id = who.agent;
      perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'inbox_asked',
        jsonb_build_object('session_id', holder.session_id));
    end if;
    ask_again_ms := greatest(1, ceil(1001 - coalesce(extract(epoch from clock_timestamp() - holder.asked_at), 0) * 1000));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('first', is_first, 'ask_again_ms', ask_again_ms);
end
$$;
comment on function public.take_inbox is 'Whether this session is the one that handles the agent''s messages; asks the one that does, and takes over when it does not answer.';

do $$
begin
  perform federation.hand_out('public.take_inbox', array['authenticated', 'service_role'], true);
end
$$;

-- 20261127161000_session_digests.sql
-- Digests often enough that with what their way takes everybody knows within a second: a thousand agents did not, at one a second.
-- Tells what waits, unless that was done less than 0.6 seconds ago or somebody is at it. Returns after how many milliseconds it may
-- be done; null when nothing waits. Frames stay under 200 kB.
create or replace function federation.tell_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  due_ms integer;
  change record;
  told jsonb[] := '{}';
  told_bytes integer := 0;
begin
  if not exists (select from federation.session_news n where n.tenant_id = tenant) then
    return null;
  end if;
  select ceil(600 - extract(epoch from clock_timestamp() - u.told_at) * 1000) into due_ms
  from federation.upkeep u where u.tenant_id = tenant and u.told_at > clock_timestamp() - interval '600 milliseconds';
  if due_ms > 0 then
    return due_ms;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.tell_sessions ' || tenant, 0)) then
    return 600;
  end if;
  insert into federation.upkeep (tenant_id, told_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set told_at = excluded.told_at;
  for change in
    with news as (
      delete from federation.session_news n where n.news_id in (
        select w.news_id from federation.session_news w where w.tenant_id = tenant
        order by w.news_id limit 5000 for update skip locked)
      returning n.session_id)
    select federation.session_news_json(s) as session from public.agent_sessions s
    where s.tenant_id = tenant and s.session_id in (select n.session_id from news n)
    order by s.seq
  loop
    if told_bytes + octet_length(change.session::text) > 199000 then
      perform federation.announce('federation:' || tenant || ':feed', 'sessions', jsonb_build_object('sessions', to_jsonb(told)));
      told := '{}';
      told_bytes := 0;
    end if;
    told := told || change.session;
    told_bytes := told_bytes + octet_length(change.session::text) + 2;
  end loop;
  if cardinality(told) > 0 then
    perform federation.announce('federation:' || tenant || ':feed', 'sessions', jsonb_build_object('sessions', to_jsonb(told)));
  end if;
  return (select 600 from federation.session_news n where n.tenant_id = tenant limit 1);
end
$$;
comment on function federation.tell_sessions(text) is 'Tells a large room what changed, at most every 0.6 seconds; when it may be done again.';

-- 20261127180000_held_back.sql
-- What has committed behind a transaction that is still open waits for it: pull_memories says so (held_back), and its reader soon looks again.

-- A sequence is handed out before the commit, so "greater than the last I saw" would lose rows. Every transaction below `horizon`
-- has ended, so what it wrote is seen or never will be.
create or replace function public.pull_memories(
  cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  -- How far everything was read; and, during a first reading, when it began.
  after_tx xid8 := '0';
  after_seq bigint := 0;
  since xid8;
  is_reset boolean := false;
  is_more boolean;
  is_held_back boolean;
  page record;
  answer json;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if cursor is null then
    since := horizon;
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
    is_reset := true;
  else
    after_tx := given[2];
    after_seq := given[3];
    since := given[4];
  end if;
  max_rows := greatest(1, federation.check_rows(max_rows));
  if not is_reset then
    with changes as (
      select c.tx, c.seq, c.memory, c.weight, c.hidden,
        row_number() over earlier as place, sum(c.weight) over earlier as bytes
      from (
        (select k.tx, k.seq, k as memory, federation.memory_weight(k) as weight, null as hidden from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory)) end, ',' order by p.place) as memories
    into page from page p;
    -- Asked after reading, so that nothing is removed in between unnoticed.
    is_reset := federation.is_below_floor(
      greatest(after_tx, since), case when since is null or after_tx >= since then after_seq else 0 end, horizon);
  end if;
  if is_reset then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0:', horizon), 'done', false, 'reset', true,
      'server_time', clock_timestamp());
  else
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_memories k
        where k.tenant_id = who.tenant and (k.tx, k.seq) > (horizon, 0::bigint)
          and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent))
      or exists (select from federation.hidden_since(horizon, 0, pg_snapshot_xmax(pg_current_snapshot()), 1)));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;
comment on function public.pull_memories is 'What changed in the tenant''s memories since a cursor, in the order of change, and the next cursor.';

-- 20261127190000_task_races.sql
-- Tasks when several transactions meet: what waits for another task is looked at again once nobody can have missed it, circles are
-- refused however they are assigned, whoever locks a task locks it before its place in the queue, and a long queue is read by index.

-- One name for whom a task is for, so that an index has the queue of each in order.
alter table public.agent_task_queue add column if not exists lane text
  generated always as (case when assigned_to is null then 'able ' || coalesce(capability, '') else 'agent ' || assigned_to end) stored;
-- When a held task is looked at: once all transactions before this one have ended. Null: an end of what it waits for cannot miss it.
alter table public.agent_task_queue add column if not exists look_from xid8;

create index if not exists agent_task_queue_urgent on public.agent_task_queue (tenant_id, lane, priority, ready_at)
  where lease_until is null and ready_at < 'infinity';
create index if not exists agent_task_queue_oldest on public.agent_task_queue (tenant_id, lane, ready_at)
  where lease_until is null and ready_at < 'infinity';
create index if not exists agent_task_queue_held on public.agent_task_queue (tenant_id, look_from) where look_from is not null;
drop index if exists public.agent_task_queue_agent, public.agent_task_queue_capability, public.agent_task_queue_ready,
  public.agent_task_queue_age;

-- What can be claimed of one lane, most urgent or oldest first.
create or replace function federation.ready_in_lane(tenant text, lane text, by_age boolean, many integer)
returns table (task_row uuid, rank double precision)
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
begin
  if by_age then
    return query
      select q.task_row, extract(epoch from q.ready_at)::double precision from public.agent_task_queue q
      where q.tenant_id = tenant and q.lane = ready_in_lane.lane and q.lease_until is null and q.ready_at < 'infinity' and q.ready_at <= now()
      order by q.ready_at limit many;
  else
    return query
      select q.task_row, q.priority * 1e12::double precision + extract(epoch from q.ready_at)::double precision
      from public.agent_task_queue q
      where q.tenant_id = tenant and q.lane = ready_in_lane.lane and q.lease_until is null and q.ready_at < 'infinity' and q.ready_at <= now()
      order by q.priority, q.ready_at limit many;
  end if;
end
$$;

create or replace function public.claim_tasks(
  max_tasks integer default 1, capabilities text[] default '{}', instance_id text default null,
  as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  by_age constant boolean := random() < 0.1;
  chosen uuid[];
  taken uuid[];
  until constant timestamptz := now() + interval '20 seconds';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if claim_tasks.max_tasks is null or claim_tasks.max_tasks not between 1 and 1000 then
    raise exception 'max_tasks: expected 1 to 1000, got %', coalesce(claim_tasks.max_tasks::text, 'nothing') using errcode = '22023';
  end if;
  perform federation.check_text('instance_id', claim_tasks.instance_id, 255, false), federation.sweep(who.tenant);
  -- Others claim at the same time: a few more candidates than wanted, and of those the ones that nobody else has.
  chosen := array(
    select c.task_row
    from (
      select 'agent ' || who.agent as lane union
      select 'able ' || wanted from unnest(coalesce(claim_tasks.capabilities, '{}') || ''::text) wanted where wanted is not null) l,
      lateral federation.ready_in_lane(who.tenant, l.lane, by_age, claim_tasks.max_tasks + 32) c
    order by c.rank limit claim_tasks.max_tasks + 32);
  -- The task first, as in every function: one that is cancelled at the same time is passed over, and nobody waits in a circle.
  chosen := array(
    select t.row_id from public.agent_tasks t
    where t.tenant_id = who.tenant and t.row_id = any (chosen) and t.status in ('pending', 'assigned')
    order by array_position(chosen, t.row_id) limit claim_tasks.max_tasks for update skip locked);
  -- It may have been claimed and given back since it was read.
  with leased as (
    update public.agent_task_queue q set lease_until = until, fence = q.fence + 1
    where q.tenant_id = who.tenant and q.task_row = any (chosen) and q.lease_until is null and q.ready_at <= now()
    returning q.task_row)
  select array_agg(l.task_row) into taken from leased l;
  return query
    with claimed as (
      update public.agent_tasks t set
        status = 'in_progress', attempt = t.attempt + 1, fence = t.fence + 1, lease_until = until, lease_agent = who.agent,
        instance_id = claim_tasks.instance_id, started_at = coalesce(t.started_at, now()), progress = null, progress_note = null,
        holders = case when who.agent = any (t.holders) then t.holders else t.holders || who.agent end
      where t.tenant_id = who.tenant and t.row_id = any (taken)
      returning t.*)
    select federation.task_json(c::public.agent_tasks) from claimed c order by array_position(chosen, c.row_id);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.claim_tasks is 'Claims tasks of the acting agent, of its capabilities or of nobody in particular, for 20 seconds.';

-- A task with dependencies is queued and cannot be claimed before they are completed. Circles are refused.
create or replace function federation.hold_dependent()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  task public.agent_tasks;
  circle text;
begin
  select t.* into task from public.agent_tasks t where t.row_id = new.task_row;
  if cardinality(task.dependencies) = 0 then
    return new;
  end if;
  if coalesce(task.details ->> 'on_dependency_failure', 'fail') not in ('fail', 'release') then
    raise exception 'on_dependency_failure: expected fail or release, got %', quote_literal(task.details ->> 'on_dependency_failure') using errcode = '22023';
  end if;
  -- One after the other in a tenant: two that close a circle together would not see each other.
  perform pg_advisory_xact_lock(hashtextextended('federation.dependencies ' || task.tenant_id, 0));
  with recursive reached (id) as (
    select unnest(task.dependencies)
    union
    select unnest(d.dependencies) from reached r
    join public.agent_tasks d on d.tenant_id = task.tenant_id and d.task_id = r.id where d.ended_at is null)
  select r.id into circle from reached r where r.id = task.task_id;
  if found then
    raise exception 'task % waits for itself, by way of its dependencies', quote_literal(circle) using errcode = '22023';
  end if;
  if federation.is_waiting(task) then
    new.ready_at := 'infinity';
    new.look_from := '0'; -- what it waits for may end before this commits, and not see it
  end if;
  return new;
end
$$;

-- Lets a task go that has nothing left to wait for, or fails it with what it waited for. Whether it still waits.
create or replace function federation.settle_dependent(task public.agent_tasks)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  failed public.agent_tasks;
begin
  if coalesce(task.details ->> 'on_dependency_failure', 'fail') = 'fail' then
    select d.* into failed from public.agent_tasks d
    where d.tenant_id = task.tenant_id and d.task_id = any (task.dependencies) and d.ended_at is not null and d.status <> 'completed'
    order by d.ended_at limit 1;
    if found then
      perform federation.end_task(
        task, 'failed', 'task ' || quote_literal(failed.task_id) || ', which it depends on, is ' || failed.status);
      return false;
    end if;
  end if;
  if federation.is_waiting(task) then
    return true;
  end if;
  update public.agent_task_queue q set ready_at = now(), look_from = null
  where q.tenant_id = task.tenant_id and q.task_row = task.row_id and q.ready_at = 'infinity';
  return false;
end
$$;

-- Looks at held tasks twice: when they are there, and again once all have ended who may have ended a dependency without seeing them.
create or replace function federation.settle_dependents(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  ended_before constant xid8 := pg_snapshot_xmin(pg_current_snapshot());
  held record;
  settled integer := 0;
begin
  for held in
    select t as task, q.look_from from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = tenant and q.look_from <= ended_before and t.ended_at is null
    order by q.look_from limit 500 for update of t skip locked
  loop
    if not federation.settle_dependent(held.task) then
      settled := settled + 1;
    else
      update public.agent_task_queue q
      set look_from = case when held.look_from = '0' then pg_snapshot_xmax(pg_current_snapshot()) end
      where q.tenant_id = tenant and q.task_row = (held.task).row_id;
    end if;
  end loop;
  return settled;
end
$$;

-- What time alone does: leases that ran out, deadlines that passed; and what waits for nothing any more. At most 500 of each in a call.
create or replace function federation.release_tasks(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  task public.agent_tasks;
  released integer := 0;
begin
  for task in
    select t.* from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = tenant and q.lease_until < now() and t.ended_at is null
    order by q.lease_until limit 500 for update of t skip locked
  loop
    -- Unless it was renewed just before it was locked.
    continue when not exists (
      select from public.agent_task_queue q where q.tenant_id = tenant and q.task_row = task.row_id and q.lease_until < now());
    perform federation.give_back(task, 'the lease of ' || coalesce(task.lease_agent, 'its worker') || ' ran out', now());
    released := released + 1;
  end loop;
  for task in
    select t.* from public.agent_tasks t
    where t.tenant_id = tenant and t.ended_at is null and (t.deadline is not null or t.expires_at is not null)
      and least(t.deadline, t.expires_at) < now()
    order by least(t.deadline, t.expires_at) limit 500 for update skip locked
  loop
    perform federation.end_task(task, 'failed', case when task.deadline < now() then 'its deadline passed' else 'it expired' end);
    released := released + 1;
  end loop;
  return released + federation.settle_dependents(tenant);
end
$$;

do $$
declare
  definer text[] := array['federation_definer'];
begin
  perform federation.hand_out('federation.ready_in_lane', definer);
  perform federation.hand_out('federation.settle_dependent', definer);
  perform federation.hand_out('federation.settle_dependents', definer);
  perform federation.hand_out('federation.release_tasks', definer);
  perform federation.hand_out('federation.hold_dependent', '{}');
  perform federation.hand_out('public.claim_tasks', array['authenticated', 'service_role'], true);
end
$$;

-- 20261128100100_pull_messages.sql
-- Reading the messages that were missed, by the cursor that pull_memories() has: safe beside transactions that are still open, and
-- under a restored database. A position in the one sequence is neither.

create index if not exists agent_messages_feed on public.agent_messages (tenant_id, tx, seq) where to_agent is null;

-- A cursor is epoch:tx:seq. One that was given out for "from now on" goes on with the snapshot of that moment: what was visible then
-- is not missed, though a transaction that was open then keeps the line below it.
create or replace function public.pull_messages(
  cursor text default null, box text default 'feed', max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  moment pg_snapshot := pg_current_snapshot();
  -- Every transaction below has ended, so what it wrote is seen or never will be.
  horizon xid8 := pg_snapshot_xmin(moment);
  after_tx xid8;
  after_seq bigint := 0;
  since pg_snapshot;
  is_more boolean := false;
  is_held_back boolean := false;
  page record;
  answer json;
begin
  if box is null or box not in ('feed', 'inbox') then
    raise exception 'box: expected feed or inbox, got %', coalesce(quote_literal(left(box, 150)), 'nothing') using errcode = '22023';
  end if;
  select * into who from federation.act_as(as_agent, as_tenant, case box when 'inbox' then 'agent' else 'tenant' end);
  max_rows := greatest(1, federation.check_rows(max_rows));
  if cursor is null then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat_ws(':', epoch, horizon, 0, moment), 'done', true, 'held_back', false,
      'reset', false, 'server_time', clock_timestamp());
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0'), 'done', false, 'held_back', false,
      'reset', true, 'server_time', clock_timestamp());
  else
    after_tx := given[2];
    after_seq := given[3];
    since := nullif(array_to_string(given[4:], ':'), '');
    with rows as (
      select c.tx, c.seq, c.message, row_number() over earlier as place, sum(octet_length(c.message)) over earlier as bytes
      from (
        (select m.tx, m.seq, federation.message_json(m)::text as message from public.agent_messages m
         where box = 'feed' and m.tenant_id = who.tenant and m.to_agent is null and (m.tx, m.seq) > (after_tx, after_seq) and m.tx < horizon
           and (since is null or not pg_visible_in_snapshot(m.tx, since)) and (m.expires_at is null or m.expires_at > now())
         order by m.tx, m.seq limit max_rows + 1)
        union all
        (select m.tx, m.seq, federation.message_json(m)::text from public.agent_messages m
         where box = 'inbox' and m.tenant_id = who.tenant and m.to_agent = who.agent and (m.tx, m.seq) > (after_tx, after_seq)
           and m.tx < horizon and m.dead_at is null
           and (since is null or not pg_visible_in_snapshot(m.tx, since)) and (m.expires_at is null or m.expires_at > now())
         order by m.tx, m.seq limit max_rows + 1)) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select r.*, r.place <= max_rows and (r.place = 1 or r.bytes <= max_bytes) as is_in from rows r)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then p.message end, ',' order by p.place) as messages
    into page from page p;
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_messages m
        where box = 'feed' and m.tenant_id = who.tenant and m.to_agent is null and (m.tx, m.seq) > (horizon, 0::bigint)
          and (since is null or not pg_visible_in_snapshot(m.tx, since)))
      or exists (
        select from public.agent_messages m
        where box = 'inbox' and m.tenant_id = who.tenant and m.to_agent = who.agent and (m.tx, m.seq) > (horizon, 0::bigint)
          and (since is null or not pg_visible_in_snapshot(m.tx, since))));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    if after_tx >= pg_snapshot_xmax(since) then
      since := null; -- nothing behind was visible then
    end if;
    answer := concat(
      '{"rows": [', page.messages, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, since)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ',
      to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;
comment on function public.pull_messages is 'Messages to everybody, or to the acting agent, since a cursor, in the order of their transactions, and the next cursor.';

do $$
begin
  perform federation.hand_out('public.pull_messages', array['authenticated', 'service_role']);
end
$$;

-- 20261128100200_message_retention.sql
-- Messages do not stay for ever: what was handled, given up or said to everybody goes after a time that is a setting, and what has
-- expired after a day. What waits for its agent stays.
alter table federation.sync_settings add column if not exists messages_kept interval not null default interval '30 days'
  check (messages_kept >= interval '1 day');
comment on table federation.sync_settings is 'One row: what cursors of this database begin with, how long tombstones and messages stay.';
alter table federation.upkeep add column if not exists messages_at timestamptz not null default '-infinity';

create index if not exists agent_messages_handled on public.agent_messages (tenant_id, handled_at) where handled_at is not null;
create index if not exists agent_messages_expiring on public.agent_messages (tenant_id, expires_at)
  where expires_at is not null and handled_at is null;
drop index if exists public.agent_messages_expiry;

create or replace function public.keep_messages(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set messages_kept = make_interval(days => keep_messages.days);
end
$$;
comment on function public.keep_messages is 'How long messages stay once they were handled, given up, or said to everybody.';

-- At most `max_rows`, the oldest of each kind. An expired request stays for a day, so that whoever asks it again does not ask anew.
create or replace function federation.remove_old_messages(tenant text, max_rows integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  old := array(
      select h.row_id from public.agent_messages h where h.tenant_id = tenant and h.handled_at < before
      order by h.handled_at limit max_rows for update skip locked)
    || array(
      select e.row_id from public.agent_messages e
      where e.tenant_id = tenant and e.expires_at < now() - interval '1 day' and e.handled_at is null
      order by e.expires_at limit max_rows for update skip locked)
    || array(
      select d.row_id from public.agent_messages d where d.tenant_id = tenant and d.dead_at < before
      limit max_rows for update skip locked)
    || array(
      select b.row_id from (
        select a.row_id, a.created_at from public.agent_messages a
        where a.tenant_id = tenant and a.to_agent is null order by a.tx, a.seq limit max_rows) b
      where b.created_at < before);
  delete from public.agent_messages m where m.row_id = any (old[1:max_rows]);
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function federation.remove_old_messages(text, integer) is 'Removes messages of a tenant whose time is over; how many.';

-- For services: each tenant is found by one look into an index.
create or replace function federation.tenants_with_messages()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with recursive tenants as (
    (select m.tenant_id from public.agent_messages m order by m.tenant_id limit 1)
    union all
    select (select m.tenant_id from public.agent_messages m where m.tenant_id > t.tenant_id order by m.tenant_id limit 1)
    from tenants t where t.tenant_id is not null)
  select t.tenant_id from tenants t where t.tenant_id is not null
$$;

create or replace function public.cleanup_messages(
  max_rows integer default 10000, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_old_messages(who.tenant, federation.check_rows(max_rows));
  else
    select coalesce(sum(public.cleanup_messages(max_rows, null, t)), 0) into removed from federation.tenants_with_messages() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_messages is 'Removes messages whose time is over, at most max_rows of a tenant; answers how many.';

-- As before, and messages: once a minute, or every time while the last time was not enough.
create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep as u (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at
  returning u.messages_at into looked_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  delete from public.agent_locks l where l.tenant_id = tenant and l.expires_at < now() - interval '1 day';
  if looked_at < clock_timestamp() - interval '1 minute' then
    removed := federation.remove_old_messages(tenant, 1000);
    if removed < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed);
  end if;
  perform federation.tell_sessions(tenant);
  return done;
end
$$;

create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories(), cleanup_tombstones() and cleanup_messages() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones(), public.cleanup_messages()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$$;

-- As before, with the time at which it expires, where it does: what waited for its handler is asked about once more.
create or replace function federation.message_json(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
      'id', message.id, 'tenant_id', message.tenant_id, 'from_agent', message.from_agent, 'type', message.type,
      'payload', message.payload, 'timestamp', message.created_at, 'reply_to', message.reply_to,
      'correlation_id', message.correlation_id, 'hop_count', message.hop_count, 'sender_seq', message.sender_seq,
      'traceparent', message.traceparent, 'delivery_attempt', message.delivery_attempt, 'seq', message.seq)
    || case when message.to_agent is null then '{}' else jsonb_build_object('to_agent', message.to_agent) end
    || case when message.expires_at is null then '{}' else jsonb_build_object('expires_at', message.expires_at) end
$$;

-- As before; what had expired when it was stored is announced to nobody.
create or replace function federation.tell_message()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := jsonb_build_object('message', federation.message_json(new));
begin
  if octet_length(payload::text) > 200000 then
    payload := jsonb_build_object('id', new.id);
  end if;
  if coalesce(new.expires_at > clock_timestamp(), true) then
    perform federation.announce(
      'federation:' || new.tenant_id || coalesce(':agent:' || new.to_agent, ':feed'), 'message', payload);
  end if;
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  values (new.tenant_id, new.from_agent, 'message_stored', new.id, new.to_agent);
  return null;
end
$$;

-- As before; what has expired is not delivered any more: it is answered as dead, and stays as it is.
create or replace function public.deliver_messages(
  ids text[], max_deliveries integer default 5, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_deliveries is null or max_deliveries < 1 then
    raise exception 'max_deliveries: expected 1 or more, got %', coalesce(max_deliveries::text, 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  return query
    with wanted as (
      select m.row_id from public.agent_messages m
      where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
        and (m.expires_at is null or m.expires_at > now())
      order by m.row_id for update)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.expires_at <= now();
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.keep_messages', array['service_role'], true);
  perform federation.hand_out('federation.remove_old_messages', members, true);
  perform federation.hand_out('federation.tenants_with_messages', array['service_role']);
  perform federation.hand_out('public.cleanup_messages', members);
  perform federation.hand_out('federation.sweep', array['federation_definer']);
  perform federation.hand_out('federation.tell_message', '{}', true);
end
$$;

-- 20261128100300_feed_places.sql
-- How far each agent has come on the feed. An agent that comes back goes on where it was; and the places of the agents are the
-- receipts of what was said to everybody: one row for each agent, none for each message.
create table if not exists federation.feed_places (
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text not null check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  epoch text not null,
  tx xid8 not null,
  seq bigint not null,
  cursor text not null,
  moved_at timestamptz not null default now(),
  primary key (tenant_id, agent_id)
);
comment on table federation.feed_places is 'Up to where each agent has handled what was said to everybody.';
alter table federation.feed_places enable row level security;
revoke all on federation.feed_places from public, anon, authenticated, service_role;
grant select, insert, update, delete on federation.feed_places to federation_definer;
drop policy if exists "functions, in the tenant they act for" on federation.feed_places;
create policy "functions, in the tenant they act for" on federation.feed_places for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- What became of a message to everybody. Its recipients are the agents that had an open session when it was stored.
create or replace function federation.broadcast_receipt(message public.agent_messages)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  here text := federation.epoch();
  counts record;
  handled_at timestamptz := message.handled_at;
begin
  select count(*) as recipients, count(p.agent_id) as handled_by, max(p.moved_at) as last_at into counts
  from (
    select distinct s.agent_id from public.agent_sessions s
    where s.tenant_id = message.tenant_id and s.agent_id <> message.from_agent and s.started_at <= message.created_at
      and (s.ended_at is null or s.ended_at > message.created_at)) r
  left join federation.feed_places p on p.tenant_id = message.tenant_id and p.agent_id = r.agent_id and p.epoch = here
    and (p.tx, p.seq) >= (message.tx, message.seq);
  if handled_at is null and counts.handled_by = counts.recipients then
    handled_at := greatest(counts.last_at, message.created_at); -- at the latest
  end if;
  return federation.receipt_json(message) || jsonb_build_object(
    'recipients', counts.recipients, 'handled_by', counts.handled_by, 'delivered_at', handled_at, 'handled_at', handled_at);
end
$$;
comment on function federation.broadcast_receipt(public.agent_messages) is 'How many were to hear a message to everybody, and how many have handled it.';

-- Without a cursor: where the acting agent goes on reading, which for a new one is here. With one: it has handled everything before.
create or replace function public.feed_place(cursor text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(feed_place.cursor, ':');
  moment pg_snapshot := pg_current_snapshot();
  here text := federation.epoch();
  before federation.feed_places;
  place federation.feed_places;
  is_new boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if feed_place.cursor is null then
    insert into federation.feed_places (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, pg_snapshot_xmin(moment), 0, concat_ws(':', here, pg_snapshot_xmin(moment), 0, moment))
    on conflict (tenant_id, agent_id) do nothing;
    is_new := found;
  elsif feed_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> here
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    raise exception 'cursor: expected one that pull_messages() gave out here, got %', quote_literal(left(feed_place.cursor, 150))
      using errcode = '22023';
  else
    select * into before from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent for update;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    insert into federation.feed_places as p (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, given[2]::xid8, given[3]::bigint, feed_place.cursor)
    on conflict (tenant_id, agent_id) do update set
      epoch = excluded.epoch, tx = excluded.tx, seq = excluded.seq, cursor = excluded.cursor, moved_at = now()
    where p.epoch <> excluded.epoch or (excluded.tx, excluded.seq) > (p.tx, p.seq);
    if before.epoch = here then
      -- The last one to come by tells the sender.
      update public.agent_messages m set delivered_at = now(), handled_at = now()
      where m.tenant_id = who.tenant and m.to_agent is null and m.receipts and m.handled_at is null
        and (m.tx, m.seq) > (before.tx, before.seq) and (m.tx, m.seq) <= (given[2]::xid8, given[3]::bigint)
        and federation.broadcast_receipt(m) ->> 'handled_at' is not null;
    end if;
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.cursor, 'moved_at', place.moved_at, 'new', is_new);
end
$$;
comment on function public.feed_place is 'Up to where the acting agent has handled what was said to everybody; with a cursor, moves that on.';

-- As before; of a message to everybody the agents are asked how far they are, once, and tell it within a time that spreads them.
create or replace function public.ask_receipts(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
  receipt jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = ask_receipts.id and m.from_agent = who.agent for update;
  if message.row_id is null then
    raise exception 'no message % of this sender', quote_literal(ask_receipts.id) using errcode = 'P0002';
  end if;
  update public.agent_messages m set receipts = true where m.row_id = message.row_id and not m.receipts;
  if message.to_agent is not null then
    receipt := federation.receipt_json(message);
  else
    receipt := federation.broadcast_receipt(message);
    if not message.receipts and receipt ->> 'handled_at' is null then
      perform federation.announce('federation:' || who.tenant || ':feed', 'place_asked', jsonb_build_object(
        'within_ms', 2 * (receipt ->> 'recipients')::integer));
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return receipt;
end
$$;

create or replace function public.get_message(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
  facts jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  if message.row_id is not null then
    facts := federation.message_facts(message) || case when message.to_agent is null then federation.broadcast_receipt(message) else '{}' end;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return facts;
end
$$;

-- As before, and places of agents that have not moved for as long as messages stay, and are not here.
create or replace function federation.remove_old_messages(tenant text, max_rows integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  old := array(
      select h.row_id from public.agent_messages h where h.tenant_id = tenant and h.handled_at < before
      order by h.handled_at limit max_rows for update skip locked)
    || array(
      select e.row_id from public.agent_messages e
      where e.tenant_id = tenant and e.expires_at < now() - interval '1 day' and e.handled_at is null
      order by e.expires_at limit max_rows for update skip locked)
    || array(
      select d.row_id from public.agent_messages d where d.tenant_id = tenant and d.dead_at < before
      limit max_rows for update skip locked)
    || array(
      select b.row_id from (
        select a.row_id, a.created_at from public.agent_messages a
        where a.tenant_id = tenant and a.to_agent is null order by a.tx, a.seq limit max_rows) b
      where b.created_at < before);
  delete from public.agent_messages m where m.row_id = any (old[1:max_rows]);
  get diagnostics removed = row_count;
  delete from federation.feed_places p where p.tenant_id = tenant and p.moved_at < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$$;

-- As before, and places.
create or replace function federation.remove(tenant text, agent text)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_locks l where l.tenant_id = tenant and (agent is null or l.holder = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_locks', removed);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.broadcast_receipt', array['authenticated', 'service_role', 'federation_definer'], true);
  perform federation.hand_out('public.feed_place', members, true);
  perform federation.hand_out('federation.remove', array['federation_definer']);
end
$$;

-- 20261128100400_hop_limit.sql
-- Loops are stopped whoever sends: an answer is one hop further than what it answers, whatever its sender counts, and a chain of
-- messages that is longer than the limit is refused. A hub has limits of its own beside it.
alter table federation.sync_settings add column if not exists max_hops integer not null default 32 check (max_hops between 1 and 1000000);
comment on table federation.sync_settings is
  'One row: what cursors of this database begin with, how long tombstones and messages stay, how long a chain of messages may be.';

create or replace function public.limit_hops(hops integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if hops is null or hops not between 1 and 1000000 then
    raise exception 'hops: expected 1 to 1000000, got %', coalesce(hops::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set max_hops = hops;
end
$$;
comment on function public.limit_hops is 'How many messages may lead to a message, each in answer to the last or sent by its handler.';

-- As before; an answer inherits from what it answers, where its sender can know that.
create or replace function federation.store_message(message public.agent_messages)
returns public.agent_messages
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stored public.agent_messages;
  asked record;
  max_hops integer;
begin
  if message.reply_to is not null then
    select m.hop_count, coalesce(m.correlation_id, m.id) as correlation_id into asked from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.id = message.reply_to
      and (m.to_agent is null or message.from_agent in (m.to_agent, m.from_agent));
    message.hop_count := greatest(message.hop_count, asked.hop_count + 1);
    message.correlation_id := coalesce(message.correlation_id, asked.correlation_id);
  end if;
  if message.hop_count > 0 then
    select s.max_hops into max_hops from federation.sync_settings s;
    if message.hop_count > max_hops then
      raise exception 'hop_count: % messages led to this one, the limit is %', message.hop_count, max_hops using errcode = '53400',
        hint = 'End the exchange, or have a service raise the limit: select public.limit_hops(…).';
    end if;
  end if;
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, sender_seq, instance_id,
    traceparent, expires_at)
  values (
    message.tenant_id, message.id, message.from_agent, message.to_agent, message.type, message.payload, message.reply_to,
    message.correlation_id, message.hop_count, message.sender_seq, message.instance_id, message.traceparent, message.expires_at)
  on conflict (tenant_id, id) do nothing
  returning * into stored;
  if stored.row_id is not null then
    return stored;
  end if;
  select * into stored from public.agent_messages m where m.tenant_id = message.tenant_id and m.id = message.id;
  if (stored.from_agent, stored.to_agent, stored.type, stored.payload, stored.reply_to) is distinct from
     (message.from_agent, message.to_agent, message.type, message.payload, message.reply_to) then
    raise exception 'message % exists already, with other content', quote_literal(message.id) using errcode = '23505',
      hint = 'An id stands for one message; use it again only to repeat that message.';
  end if;
  return stored;
end
$$;

do $$
begin
  perform federation.hand_out('public.limit_hops', array['service_role'], true);
end
$$;

-- 20261128110000_next_tasks.sql
-- A worker's call: says what has ended and claims what comes next. It may be made again when its answer was lost: the same claim id is
-- answered with the same tasks, and what had ended has ended already.

alter table public.agent_task_queue add column if not exists claim_id uuid;
comment on column public.agent_task_queue.claim_id is 'Of the claim that holds it, as the worker named it.';
create index if not exists agent_task_queue_claim on public.agent_task_queue (tenant_id, claim_id) where claim_id is not null;

create or replace function federation.take_tasks(
  tenant text, agent text, max_tasks integer, capabilities text[], instance_id text, claim_id uuid)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  by_age constant boolean := random() < 0.1;
  chosen uuid[];
  taken uuid[];
  until constant timestamptz := now() + interval '20 seconds';
begin
  -- Others claim at the same time: a few more candidates than wanted, and of those the ones that nobody else has.
  chosen := array(
    select c.task_row
    from (
      select 'agent ' || take_tasks.agent as lane union
      select 'able ' || wanted from unnest(coalesce(take_tasks.capabilities, '{}') || ''::text) wanted where wanted is not null) l,
      lateral federation.ready_in_lane(take_tasks.tenant, l.lane, by_age, take_tasks.max_tasks + 32) c
    order by c.rank limit take_tasks.max_tasks + 32);
  if cardinality(chosen) = 0 then
    return;
  end if;
  -- The task first, as in every function: one that is cancelled at the same time is passed over, and nobody waits in a circle.
  chosen := array(
    select t.row_id from public.agent_tasks t
    where t.tenant_id = take_tasks.tenant and t.row_id = any (chosen) and t.status in ('pending', 'assigned')
    order by array_position(chosen, t.row_id) limit take_tasks.max_tasks for update skip locked);
  -- It may have been claimed and given back since it was read.
  with leased as (
    update public.agent_task_queue q set lease_until = until, fence = q.fence + 1, claim_id = take_tasks.claim_id
    where q.tenant_id = take_tasks.tenant and q.task_row = any (chosen) and q.lease_until is null and q.ready_at <= now()
    returning q.task_row)
  select array_agg(l.task_row) into taken from leased l;
  return query
    with claimed as (
      update public.agent_tasks t set
        status = 'in_progress', attempt = t.attempt + 1, fence = t.fence + 1, lease_until = until, lease_agent = take_tasks.agent,
        instance_id = take_tasks.instance_id, started_at = coalesce(t.started_at, now()), progress = null, progress_note = null,
        holders = case when take_tasks.agent = any (t.holders) then t.holders else t.holders || take_tasks.agent end
      where t.tenant_id = take_tasks.tenant and t.row_id = any (taken)
      returning t.*)
    select federation.task_json(c::public.agent_tasks) from claimed c order by array_position(chosen, c.row_id);
end
$$;

create or replace function public.claim_tasks(
  max_tasks integer default 1, capabilities text[] default '{}', instance_id text default null,
  as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_tasks is null or max_tasks not between 1 and 1000 then
    raise exception 'max_tasks: expected 1 to 1000, got %', coalesce(max_tasks::text, 'nothing') using errcode = '22023';
  end if;
  perform federation.check_text('instance_id', instance_id, 255, false), federation.sweep(who.tenant);
  return query select federation.take_tasks(who.tenant, who.agent, max_tasks, capabilities, instance_id, null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.claim_tasks is 'Claims tasks of the acting agent, of its capabilities or of nobody in particular, for 20 seconds.';

-- What the claim of that id has got and still holds, for 20 seconds from now.
create or replace function federation.held_by_claim(tenant text, agent text, claim_id uuid)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  until constant timestamptz := now() + interval '20 seconds';
  held uuid[];
begin
  held := array(
    select t.row_id from public.agent_task_queue q join public.agent_tasks t on t.row_id = q.task_row
    where q.tenant_id = held_by_claim.tenant and q.claim_id = held_by_claim.claim_id and q.lease_until > now()
      and t.lease_agent = held_by_claim.agent and t.ended_at is null
    order by t.row_id for update of t);
  if cardinality(held) = 0 then
    return;
  end if;
  update public.agent_task_queue q set lease_until = until
  where q.tenant_id = held_by_claim.tenant and q.task_row = any (held);
  return query
    update public.agent_tasks t set lease_until = until
    where t.tenant_id = held_by_claim.tenant and t.row_id = any (held)
    returning federation.task_json(t);
end
$$;

-- Completes those of `said`, [{ task_id, fence, result }], that `agent` may still speak for; answers their ids.
create or replace function federation.finish_tasks(tenant text, agent text, said jsonb)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  finished text[];
begin
  -- In the order of their rows, so that two calls about the same tasks wait for each other in one order.
  with mine as (
    select t.row_id, s.value -> 'result' as result
    from jsonb_array_elements(finish_tasks.said) s
    join public.agent_tasks t on t.tenant_id = finish_tasks.tenant and t.task_id = s.value ->> 'task_id'
    where t.ended_at is null and coalesce(t.lease_agent, t.assigned_to) = finish_tasks.agent
      and coalesce((s.value ->> 'fence')::bigint, t.fence) = t.fence
    order by t.row_id for update of t),
  done as (
    update public.agent_tasks t set
      status = 'completed', result = m.result, progress = 1, ended_at = now(), lease_until = null, error = null,
      started_at = coalesce(t.started_at, now())
    from mine m where t.row_id = m.row_id
    returning t.*),
  left_the_queue as (
    delete from public.agent_task_queue q using done d where q.tenant_id = finish_tasks.tenant and q.task_row = d.row_id),
  told as (
    insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload, hop_count, correlation_id, traceparent)
    select d.tenant_id, gen_random_uuid(), finish_tasks.agent, d.assigned_by, 'task_complete',
      jsonb_build_object('task_id', d.task_id, 'result', d.result, 'completed_by', finish_tasks.agent),
      d.hop_count + 1, coalesce(d.correlation_id, d.task_id), d.traceparent
    from done d)
  select coalesce(array_agg(d.task_id), '{}') into finished from done d;
  return finished;
end
$$;

-- Locks in the order of the rows, as finish_tasks() does.
create or replace function public.renew_tasks(leases jsonb, as_agent text default null, as_tenant text default null)
returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  held text[];
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if leases is null or jsonb_typeof(leases) <> 'array' then
    raise exception 'leases: expected an array of { task_id, fence }, got %', coalesce(jsonb_typeof(leases), 'nothing') using errcode = '22023';
  end if;
  with mine as (
    select t.row_id from jsonb_array_elements(leases) l
    join public.agent_tasks t on t.tenant_id = who.tenant and t.task_id = l.value ->> 'task_id'
    where t.fence = (l.value ->> 'fence')::bigint and t.lease_agent = who.agent and t.lease_until is not null and t.ended_at is null
    order by t.row_id for update of t),
  renewed as (
    update public.agent_tasks t set lease_until = now() + interval '20 seconds'
    from mine m where t.row_id = m.row_id returning t.row_id, t.task_id),
  queued as (
    update public.agent_task_queue q set lease_until = now() + interval '20 seconds'
    from renewed r where q.tenant_id = who.tenant and q.task_row = r.row_id)
  select coalesce(array_agg(r.task_id), '{}') into held from renewed r;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return held;
end
$$;
comment on function public.renew_tasks is 'Extends leases by 20 seconds; the ids of those that are still held.';

create or replace function public.complete_task(
  task_id text, result jsonb, fence bigint default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  is_late boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_json('result', complete_task.result);
  task := federation.lock_task(who.tenant, complete_task.task_id);
  if federation.speaks_for(task, who.agent, complete_task.fence) then
    perform federation.finish_tasks(who.tenant, who.agent, jsonb_build_array(
      jsonb_build_object('task_id', task.task_id, 'fence', task.fence) || coalesce(jsonb_build_object('result', complete_task.result), '{}')));
    select * into task from public.agent_tasks t where t.tenant_id = who.tenant and t.row_id = task.row_id;
  elsif complete_task.fence < task.fence and who.agent = any (task.holders) then
    -- Too late: somebody else has, or had, the task by now. What was brought is kept beside it, the last ten.
    is_late := true;
    update public.agent_tasks t set superseded_results = jsonb_path_query_array(
      t.superseded_results || jsonb_build_object('agent', who.agent, 'fence', complete_task.fence, 'result', complete_task.result, 'at', now()),
      '$[last - 9 to last]')
    where t.row_id = task.row_id returning t.* into task;
  elsif task.ended_at is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(complete_task.task_id), task.status, task.fence
      using errcode = '55000';
  elsif task.status <> 'completed' then
    raise exception 'task % has ended already: %', quote_literal(complete_task.task_id), task.status using errcode = '55000';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task) || case when is_late then '{"superseded": true}' else '{}'::jsonb end;
end
$$;
comment on function public.complete_task is 'Ends a task with its result and tells whoever assigned it; a result that comes too late is kept as superseded.';

-- Completes or fails each of `ended`; answers those that were refused, each alone. [{ task_id, fence, result } | { …, error, retry }]
create or replace function federation.end_tasks(tenant text, agent text, ended jsonb)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  finished text[];
  outcome jsonb;
  refused jsonb := '[]';
begin
  finished := federation.finish_tasks(tenant, agent, (
    select coalesce(jsonb_agg(e.value), '[]') from jsonb_array_elements(ended) e
    where not e.value ? 'error' and octet_length((e.value -> 'result')::text) <= 1048576));
  for outcome in
    select e.value from jsonb_array_elements(ended) e where e.value ? 'error' or e.value ->> 'task_id' <> all (finished)
  loop
    begin
      if outcome ? 'error' then
        perform public.fail_task(outcome ->> 'task_id', outcome ->> 'error', (outcome ->> 'fence')::bigint,
          coalesce((outcome ->> 'retry')::boolean, true));
      else
        perform public.complete_task(outcome ->> 'task_id', outcome -> 'result', (outcome ->> 'fence')::bigint);
      end if;
    exception when no_data_found or insufficient_privilege or object_not_in_prerequisite_state or data_exception then
      refused := refused || jsonb_build_object('task_id', outcome ->> 'task_id', 'code', sqlstate, 'message', sqlerrm);
    end;
  end loop;
  return refused;
end
$$;

create or replace function public.next_tasks(
  claim_id uuid, max_tasks integer default 1, capabilities text[] default '{}', instance_id text default null,
  ended jsonb default '[]', as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  who record;
  refused jsonb := '[]';
  tasks jsonb[] := '{}';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if claim_id is null then
    raise exception 'claim_id: expected a UUID, got nothing' using errcode = '22023';
  end if;
  if max_tasks is null or max_tasks not between 0 and 1000 then
    raise exception 'max_tasks: expected 0 to 1000, got %', coalesce(max_tasks::text, 'nothing') using errcode = '22023';
  end if;
  if ended is null or jsonb_typeof(ended) <> 'array' or jsonb_array_length(ended) > 1000
    or jsonb_path_exists(ended, '$[*] ? (@.type() != "object" || !exists(@.task_id))') then
    raise exception 'ended: expected an array of at most 1,000 { task_id, fence, result or error }, got %', coalesce(jsonb_typeof(ended), 'nothing')
      using errcode = '22023';
  end if;
  perform federation.check_text('instance_id', instance_id, 255, false);
  -- The first call may still be at it.
  perform pg_advisory_xact_lock(hashtextextended('federation.next_tasks ' || who.tenant || ' ' || claim_id, 0));
  if jsonb_array_length(ended) > 0 then
    refused := federation.end_tasks(who.tenant, who.agent, ended);
  end if;
  perform federation.sweep(who.tenant);
  if max_tasks > 0 then
    tasks := array(select federation.held_by_claim(who.tenant, who.agent, claim_id));
    if cardinality(tasks) = 0 then
      tasks := array(select federation.take_tasks(who.tenant, who.agent, max_tasks, capabilities, instance_id, claim_id));
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('tasks', to_jsonb(tasks), 'refused', refused);
end
$$;
comment on function public.next_tasks is 'Ends tasks that the acting agent holds and claims others; the same claim id again is answered with the same tasks.';

do $$
declare
  definer text[] := array['federation_definer'];
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.take_tasks', definer);
  perform federation.hand_out('federation.held_by_claim', definer);
  perform federation.hand_out('federation.finish_tasks', definer);
  perform federation.hand_out('federation.end_tasks', definer);
  perform federation.hand_out('public.claim_tasks', members, true);
  perform federation.hand_out('public.renew_tasks', members, true);
  perform federation.hand_out('public.complete_task', members, true);
  perform federation.hand_out('public.next_tasks', members, true);
end
$$;

-- 20261128110100_task_announcements.sql
-- What a statement changes in tasks is told in one announcement, not in one for each task: a worker that ends ten and claims ten is two
-- frames for everybody, where it was twenty.

-- Pages of tasks are read by seq; by agent alone, or by the cursor, nobody reads them, and every change of a task had to be noted there.
create index if not exists agent_tasks_seq on public.agent_tasks (tenant_id, seq);
drop index if exists public.agent_tasks_to, public.agent_tasks_by, public.agent_tasks_cursor;

create or replace function federation.task_news(task public.agent_tasks, change text)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_strip_nulls(jsonb_build_object(
    'change', change, 'task_id', task.task_id, 'status', task.status, 'assigned_to', task.assigned_to,
    'assigned_by', task.assigned_by, 'capability', task.capability, 'agent', task.lease_agent, 'attempt', task.attempt,
    'progress', task.progress, 'note', left(task.progress_note, 2000), 'question', left(task.question, 2000),
    'error', left(task.error, 2000)))
$$;

-- In frames that fit into a NOTIFY, so that nobody has to read them from the table.
create or replace function federation.announce_tasks(tenant text, news jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  topic constant text := 'federation:' || tenant || ':feed';
  one jsonb;
  frame jsonb := '[]';
begin
  if octet_length(news::text) > 6000 then
    for one in select n.value from jsonb_array_elements(news) n loop
      if jsonb_array_length(frame) > 0 and octet_length(frame::text) + octet_length(one::text) > 6000 then
        perform federation.announce(topic, 'tasks', jsonb_build_object('tasks', frame));
        frame := '[]';
      end if;
      frame := frame || one;
    end loop;
    news := frame;
  end if;
  perform federation.announce(topic, 'tasks', jsonb_build_object('tasks', news));
end
$$;

-- Everybody hears how tasks go; results and checkpoints are read by whoever wants them. What waited for one that ended goes on, or fails.
create or replace function federation.tell_tasks()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  change record;
  dependent public.agent_tasks;
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select n.tenant_id, jsonb_agg(federation.task_news(n, n.status) order by n.seq) as news from new_rows n group by n.tenant_id
    loop
      perform federation.announce_tasks(change.tenant_id, change.news);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    select n.tenant_id, n.assigned_by, 'task_assigned', n.task_id, n.assigned_to from new_rows n;
    return null;
  end if;
  for change in
    select c.tenant_id, jsonb_agg(federation.task_news(c.task, case when c.is_news then (c.task).status else 'progress' end)
        order by (c.task).seq) filter (where c.is_news or c.is_progress) as news,
      array_agg((c.task).task_id) filter (where c.has_ended) as ended
    from (
      select n.tenant_id, n::public.agent_tasks as task, o.ended_at is null and n.ended_at is not null as has_ended,
        (o.status, o.assigned_to, o.attempt) is distinct from (n.status, n.assigned_to, n.attempt) as is_news,
        (o.progress, o.progress_note) is distinct from (n.progress, n.progress_note) as is_progress
      from new_rows n join old_rows o using (row_id)) c
    group by c.tenant_id
  loop
    if change.news is not null then
      perform federation.announce_tasks(change.tenant_id, change.news);
    end if;
    continue when change.ended is null;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    select n.tenant_id, coalesce(n.lease_agent, n.assigned_to, n.assigned_by), 'task_' || n.status, n.task_id, n.assigned_by
    from new_rows n where n.tenant_id = change.tenant_id and n.task_id = any (change.ended);
    -- In the order of their ids, so that two that end at once wait for each other in one order.
    for dependent in
      select t.* from public.agent_tasks t
      where t.tenant_id = change.tenant_id and t.ended_at is null and t.dependencies && change.ended
      order by t.task_id for update
    loop
      perform federation.settle_dependent(dependent);
    end loop;
  end loop;
  return null;
end
$$;
drop trigger if exists tell on public.agent_tasks;
drop trigger if exists release_dependents on public.agent_tasks;
drop function if exists federation.tell_task(), federation.release_dependents();
create or replace trigger tell_insert after insert on public.agent_tasks
  referencing new table as new_rows for each statement execute function federation.tell_tasks();
create or replace trigger tell_update after update on public.agent_tasks
  referencing old table as old_rows new table as new_rows for each statement execute function federation.tell_tasks();

-- What was announced of several tasks goes when one of them is a removed agent's.
create or replace function federation.forget_broadcasts(tenant text, agent text, ids text[])
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  room constant text := 'federation:' || tenant;
  forgotten integer;
  mine constant text := format($q$
    (m.topic = %1$L or starts_with(m.topic, %1$L || ':')) and (
      %2$L is null
      or m.topic = %1$L || ':agent:' || %2$L
      or %2$L in (m.payload ->> 'from_agent', m.payload ->> 'agent_id', m.payload ->> 'assigned_to', m.payload ->> 'assigned_by',
        m.payload ->> 'agent', m.payload ->> 'holder',
        m.payload #>> '{message,from_agent}', m.payload #>> '{message,to_agent}')
      or m.payload ->> 'id' = any (%3$L::text[])
      or (jsonb_typeof(m.payload -> 'ids') = 'array' and m.payload -> 'ids' ?| %3$L::text[])
      or (jsonb_typeof(m.payload -> 'memories') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'memories') k where %2$L in (k ->> 'agent_id', k ->> 'written_by')))
      or (jsonb_typeof(m.payload -> 'tasks') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'tasks') t where %2$L in (t ->> 'assigned_to', t ->> 'assigned_by', t ->> 'agent')))
      or (jsonb_typeof(m.payload -> 'sessions') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'sessions') s where s ->> 'agent_id' = %2$L)))
    $q$, room, agent, ids);
begin
  if has_table_privilege('realtime.messages', 'delete') then
    execute 'delete from realtime.messages m where ' || mine;
  else
    execute $q$update realtime.messages m set payload = '{}', topic = 'federation-forgotten', event = null where $q$ || mine;
  end if;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;

do $$
begin
  perform federation.hand_out('federation.task_news', array['federation_definer']);
  perform federation.hand_out('federation.announce_tasks', array['federation_definer']);
  perform federation.hand_out('federation.tell_tasks', '{}', true);
  perform federation.hand_out('federation.forget_broadcasts', array['federation_definer']);
end
$$;

-- 20261128120000_search_recall.sql
-- An HNSW search looks at more candidates: of 100,000 memories of 384 dimensions it found 97.7 % of the ten nearest at 40, 99.7 % at 100.

-- Which memories match, and how well. Belongs to `postgres`, who owns the table: under policies no index of words may be used,
-- because a text search operator could leak what a policy hides. It asks for the tenant and the agent itself, answers row ids
-- only, and whoever calls it reads those rows under the policies.
do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  before text := current_setting('search_path');
begin
  perform set_config('search_path', format('pg_catalog, %I, pg_temp', home), true);
  execute $create$
    create or replace function federation.matches(
      embedding vector, model text, words tsquery, wanted jsonb, depth integer, min_similarity float8)
    returns table (row_id uuid, similarity float8, rank float8, place bigint)
    language plpgsql security definer
    as $body$
    declare
      me record;
      filter record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      passing constant text := 'k.tenant_id = $2 and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and (k.scope <> ''agent'' or $3 is null or k.agent_id = $3) '
        'and ($4 is null or k.agent_id = $4) and ($5 is null or k.session_id = $5) and ($6 is null or k.created_at >= $6) '
        'and ($7 is null or k.created_at < $7) and ($8 is null or k.metadata @> $8)';
      few constant integer := 10000;
      candidates integer;
    begin
      select federation.tenant_id() as tenant, federation.agent_id() as agent into me;
      select * into filter from federation.read_filter(wanted);
      if me.tenant is null then
        return;
      end if;
      if embedding is not null then
        if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
          execute format('select count(*) from (select from public.agent_memories k where %s and vector_dims(k.embedding) = %s limit %s) c',
            passing, dimensions, few + 1)
            into candidates using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata;
          -- Among few, all are compared. Among many, the index goes on until enough have passed (pgvector has that since 0.8).
          if candidates > few and (
            select string_to_array(e.extversion, '.')::integer[] >= array[0, 8] from pg_extension e where e.extname = 'vector') then
            near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
            perform set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.max_scan_tuples', '2147483647', true),
              set_config('hnsw.ef_search', least(1000, greatest(100, 2 * depth))::text, true);
          end if;
        end if;
        return query execute format(
          'select m.row_id, m.similarity, null::float8, row_number() over (order by m.similarity desc, m.seq desc) from ('
          'select k.row_id, k.seq, 1 - (%1$s) as similarity from public.agent_memories k '
          'where %2$s and vector_dims(k.embedding) = %3$s and k.embedding_model is not distinct from $9 '
          'order by %1$s limit $10) m where $11 is null or m.similarity >= $11', near, passing, dimensions)
          using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, model, depth, min_similarity;
      end if;
      if words is not null then
        return query execute format(
          'select m.row_id, null::float8, m.rank, row_number() over (order by m.rank desc, m.seq desc) from ('
          'select k.row_id, k.seq, ts_rank(k.words, $1)::float8 as rank from public.agent_memories k '
          'where %s and k.words @@ $1 order by rank desc, k.seq desc limit $9) m', passing)
          using words, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, depth;
      end if;
    end
    $body$
  $create$;
  execute format('alter function federation.matches set search_path = pg_catalog, %I, pg_temp', home);
  perform set_config('search_path', before, true);
end
$$;

select federation.hand_out('federation.matches', array['authenticated', 'service_role']);

-- 20261128150000_digest_gaps.sql
-- A digest names the newest change of the one before it, so that whoever did not hear that one knows, and reads.
alter table federation.upkeep add column if not exists told_seq bigint not null default 0;
comment on table federation.upkeep is 'When a tenant was swept, when its sessions were told last, and up to which change.';

-- Tells what waits, unless that was done less than 0.6 seconds ago or somebody is at it. Returns after how many milliseconds it may
-- be done; null when nothing waits. Frames stay under 200 kB.
create or replace function federation.tell_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  due_ms integer;
  change record;
  after_seq bigint;
  told jsonb[] := '{}';
  newest_seq bigint;
  told_bytes integer := 0;
begin
  if not exists (select from federation.session_news n where n.tenant_id = tenant) then
    return null;
  end if;
  select ceil(600 - extract(epoch from clock_timestamp() - u.told_at) * 1000) into due_ms
  from federation.upkeep u where u.tenant_id = tenant and u.told_at > clock_timestamp() - interval '600 milliseconds';
  if due_ms > 0 then
    return due_ms;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.tell_sessions ' || tenant, 0)) then
    return 600;
  end if;
  insert into federation.upkeep as u (tenant_id, told_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set told_at = excluded.told_at
  returning u.told_seq into after_seq;
  newest_seq := after_seq;
  for change in
    with news as (
      delete from federation.session_news n where n.news_id in (
        select w.news_id from federation.session_news w where w.tenant_id = tenant
        order by w.news_id limit 5000 for update skip locked)
      returning n.session_id)
    select s.seq, federation.session_news_json(s) as session from public.agent_sessions s
    where s.tenant_id = tenant and s.session_id in (select n.session_id from news n)
    order by s.seq
  loop
    if told_bytes + octet_length(change.session::text) > 199000 then
      perform federation.announce('federation:' || tenant || ':feed', 'sessions',
        jsonb_build_object('sessions', to_jsonb(told), 'after', after_seq));
      after_seq := newest_seq;
      told := '{}';
      told_bytes := 0;
    end if;
    told := told || change.session;
    newest_seq := greatest(newest_seq, change.seq);
    told_bytes := told_bytes + octet_length(change.session::text) + 2;
  end loop;
  if cardinality(told) > 0 then
    perform federation.announce('federation:' || tenant || ':feed', 'sessions',
      jsonb_build_object('sessions', to_jsonb(told), 'after', after_seq));
  end if;
  update federation.upkeep u set told_seq = newest_seq where u.tenant_id = tenant;
  return (select 600 from federation.session_news n where n.tenant_id = tenant limit 1);
end
$$;
comment on function federation.tell_sessions(text) is 'Tells a large room what changed, at most every 0.6 seconds; when it may be done again.';

-- 20261128160000_schema_version.sql
-- breaking
-- Feeds that are read by a cursor, and tasks that end and are claimed in one call: a database of schema 2 does not know the functions.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 3 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

-- 20261128170000_task_traces.sql
-- The same task may be assigned again under another trace: where a call belongs in a trace is no part of what is to be done.

create or replace function public.assign_task(task jsonb, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  known constant text[] := array['task_id', 'assigned_to', 'capability', 'description', 'priority', 'deadline', 'dependencies',
    'max_attempts', 'hop_count', 'correlation_id', 'reply_to', 'traceparent', 'expires_at'];
  who record;
  hash text;
  new_task public.agent_tasks;
  stored public.agent_tasks;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if task is null or jsonb_typeof(task) <> 'object' then
    raise exception 'task: expected an object, got %', coalesce(jsonb_typeof(task), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_json('task', task), federation.check_text('task_id', task ->> 'task_id', 255),
    federation.check_agent('assigned_to', task ->> 'assigned_to'),
    federation.check_text('description', task ->> 'description', 1048576),
    federation.check_text('capability', task ->> 'capability', 255, false),
    federation.check_text('correlation_id', task ->> 'correlation_id', 255, false),
    federation.check_text('reply_to', task ->> 'reply_to', 255, false),
    federation.check_text('traceparent', task ->> 'traceparent', 255, false);
  -- A forgotten recipient is not "whoever is free": that is said with an explicit null, or with a capability.
  if not task ? 'assigned_to' and task ->> 'capability' is null then
    raise exception 'assigned_to: expected an agent (or null for whoever is free, or a capability), got nothing' using errcode = '22023';
  end if;
  if coalesce(task ->> 'priority', 'medium') not in ('critical', 'high', 'medium', 'low') then
    raise exception 'priority: expected critical, high, medium or low, got %', quote_literal(task ->> 'priority') using errcode = '22023';
  end if;
  if jsonb_typeof(task -> 'dependencies') not in ('array', 'null') then
    raise exception 'dependencies: expected an array of task ids, got %', jsonb_typeof(task -> 'dependencies') using errcode = '22023';
  end if;
  begin
    new_task.deadline := task ->> 'deadline';
    new_task.expires_at := task ->> 'expires_at';
    new_task.max_attempts := coalesce(task ->> 'max_attempts', '3');
    new_task.hop_count := coalesce(task ->> 'hop_count', '0');
  exception when data_exception then
    raise exception 'task: %', sqlerrm using errcode = '22023';
  end;
  if new_task.max_attempts not between 1 and 1000 or new_task.hop_count < 0 then
    raise exception 'expected max_attempts 1 to 1000 and hop_count 0 or more, got % and %',
      new_task.max_attempts, new_task.hop_count using errcode = '22023';
  end if;
  hash := encode(sha256(convert_to((task - 'traceparent')::text, 'UTF8')), 'hex');

  insert into public.agent_tasks (
    tenant_id, task_id, assigned_by, assigned_to, capability, description, priority, deadline, dependencies, details, status,
    max_attempts, content_hash, hop_count, correlation_id, reply_to, traceparent, expires_at)
  values (
    who.tenant, task ->> 'task_id', who.agent, task ->> 'assigned_to', task ->> 'capability', task ->> 'description',
    coalesce(task ->> 'priority', 'medium'), new_task.deadline,
    array(select jsonb_array_elements_text(case jsonb_typeof(task -> 'dependencies') when 'array' then task -> 'dependencies' else '[]' end)),
    task - known, case when task ->> 'assigned_to' is null then 'pending' else 'assigned' end,
    new_task.max_attempts, hash, new_task.hop_count, task ->> 'correlation_id', task ->> 'reply_to', task ->> 'traceparent',
    new_task.expires_at)
  on conflict (tenant_id, task_id) do nothing
  returning * into stored;
  if stored.row_id is null then
    select * into stored from public.agent_tasks t where t.tenant_id = who.tenant and t.task_id = task ->> 'task_id';
    -- Stored before, with the trace in the hash.
    if stored.content_hash not in (hash, encode(sha256(convert_to(task::text, 'UTF8')), 'hex')) then
      raise exception 'task % exists already, with other content', quote_literal(task ->> 'task_id') using errcode = '23505',
        hint = 'A task id stands for one task; use it again only to repeat that assignment.';
    end if;
  else
    insert into public.agent_task_queue (tenant_id, task_row, assigned_to, capability, priority)
    values (stored.tenant_id, stored.row_id, stored.assigned_to, stored.capability,
      array_position(array['critical', 'high', 'medium', 'low'], stored.priority) - 1);
    if stored.assigned_to is not null then
      message.tenant_id := who.tenant;
      message.id := gen_random_uuid();
      message.from_agent := who.agent;
      message.to_agent := stored.assigned_to;
      message.type := 'task_assignment';
      message.payload := task || jsonb_build_object('assigned_by', who.agent);
      message.hop_count := stored.hop_count;
      message.correlation_id := coalesce(stored.correlation_id, stored.task_id);
      message.reply_to := stored.reply_to;
      message.traceparent := stored.traceparent;
      message.expires_at := stored.expires_at;
      perform federation.store_message(message);
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(stored);
end
$$;

do $$
begin
  perform federation.hand_out('public.assign_task', array['authenticated', 'service_role'], true);
end
$$;

-- 20261128171000_task_transitions.sql
-- Two cells of the table of transitions: what nobody has claimed asks nothing, and an attempt that fails is one, claimed or not.

create or replace function public.request_input(
  task_id text, fence bigint, question text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('question', request_input.question, 65536);
  task := federation.lock_task(who.tenant, request_input.task_id);
  if not federation.speaks_for(task, who.agent, request_input.fence) or task.lease_until is null then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(request_input.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  -- Asked already, by an attempt that did not live to hear the answer.
  if task.question is distinct from request_input.question or task.answer is null then
    update public.agent_tasks t set status = 'input_required', question = request_input.question, answer = null
    where t.row_id = task.row_id returning t.* into task;
    message.tenant_id := who.tenant;
    message.id := gen_random_uuid();
    message.from_agent := who.agent;
    message.to_agent := task.assigned_by;
    message.type := 'task_input_required';
    message.payload := jsonb_build_object('task_id', task.task_id, 'question', task.question, 'agent', who.agent);
    message.hop_count := task.hop_count + 1;
    message.correlation_id := coalesce(task.correlation_id, task.task_id);
    message.traceparent := task.traceparent;
    perform federation.store_message(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;

create or replace function public.fail_task(
  task_id text, error text, fence bigint default null, retry boolean default true,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  task public.agent_tasks;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('error', fail_task.error, 65536);
  task := federation.lock_task(who.tenant, fail_task.task_id);
  if not federation.speaks_for(task, who.agent, fail_task.fence) then
    raise exception 'task % is not held any more: it is %, by fence %', quote_literal(fail_task.task_id), task.status, task.fence
      using errcode = '55000';
  end if;
  if task.lease_until is null then
    -- Who works without claiming has tried all the same; otherwise it would be tried for ever.
    update public.agent_tasks t set attempt = t.attempt + 1 where t.row_id = task.row_id returning t.* into task;
  end if;
  if fail_task.retry then
    -- 1, 2, 4 … seconds, at most a minute, a quarter more or less.
    task := federation.give_back(task, fail_task.error,
      now() + least(60, power(2, greatest(task.attempt, 1) - 1)) * (0.75 + random() / 2) * interval '1 second');
  else
    task := federation.end_task(task, 'failed', fail_task.error);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.task_json(task);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.request_input', members, true);
  perform federation.hand_out('public.fail_task', members, true);
end
$$;

-- 20261129100000_message_failures.sql
-- A message to everybody that an agent gave up, because its handlers failed, is a dead letter of that agent: one row for each agent that
-- failed, none for those that did not. Taken out of the dead letters it is a message of that agent's inbox.
create table if not exists public.agent_message_failures (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text not null check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  message_row uuid not null references public.agent_messages (row_id) on delete cascade,
  delivery_attempt integer not null default 1,
  last_error text,
  dead_at timestamptz,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (message_row, agent_id)
);
comment on table public.agent_message_failures is 'Messages to everybody that an agent gave up, or has taken out of its dead letters and not handled yet.';
create index if not exists agent_message_failures_agent on public.agent_message_failures (tenant_id, agent_id);
create or replace trigger stamp before insert or update on public.agent_message_failures
  for each row execute function federation.stamp();

alter table public.agent_message_failures enable row level security;
revoke all on public.agent_message_failures from public, anon, authenticated, service_role;
grant select on public.agent_message_failures to authenticated;
grant select, insert, update, delete on public.agent_message_failures to service_role, federation_definer;
drop policy if exists "members read their own" on public.agent_message_failures;
create policy "members read their own" on public.agent_message_failures for select to authenticated
  using (tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_message_failures;
create policy "functions, in the tenant they act for" on public.agent_message_failures for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- What a failure changes in what one reads of a message.
create or replace function federation.failure_json(failure public.agent_message_failures)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case when failure.row_id is null then '{}' else jsonb_build_object(
    'delivery_attempt', failure.delivery_attempt, 'last_error', failure.last_error, 'dead_at', failure.dead_at, 'handled_at', null) end
$$;

-- As before; who has come by it without having handled it is counted apart. Once everybody has come by, it is handled, or given up by some.
create or replace function federation.broadcast_receipt(message public.agent_messages)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  here text := federation.epoch();
  counts record;
  delivered_at timestamptz := message.delivered_at;
  handled_at timestamptz := message.handled_at;
  dead_at timestamptz;
begin
  select count(*) as recipients, count(p.agent_id) as passed_by, max(p.moved_at) as last_at,
    count(p.agent_id) filter (where f.row_id is null) as handled_by,
    count(f.dead_at) as failed_by, max(f.dead_at) as dead_at, max(f.delivery_attempt) as attempts,
    (array_agg(f.agent_id || ': ' || f.last_error order by f.dead_at desc) filter (where f.dead_at is not null))[1] as last_error
  into counts
  from (
    select distinct s.agent_id from public.agent_sessions s
    where s.tenant_id = message.tenant_id and s.agent_id <> message.from_agent and s.started_at <= message.created_at
      and (s.ended_at is null or s.ended_at > message.created_at)) r
  left join federation.feed_places p on p.tenant_id = message.tenant_id and p.agent_id = r.agent_id and p.epoch = here
    and (p.tx, p.seq) >= (message.tx, message.seq)
  left join public.agent_message_failures f on f.message_row = message.row_id and f.agent_id = r.agent_id;
  if counts.passed_by = counts.recipients then
    delivered_at := coalesce(delivered_at, greatest(counts.last_at, message.created_at)); -- at the latest
    if counts.handled_by = counts.recipients then
      handled_at := coalesce(handled_at, delivered_at);
    elsif counts.handled_by + counts.failed_by = counts.recipients then
      dead_at := counts.dead_at;
    end if;
  end if;
  return federation.receipt_json(message) || jsonb_build_object(
    'recipients', counts.recipients, 'handled_by', counts.handled_by, 'failed_by', counts.failed_by,
    'delivered_at', delivered_at, 'handled_at', handled_at, 'dead_at', dead_at,
    'delivery_attempt', coalesce(counts.attempts, message.delivery_attempt), 'last_error', counts.last_error);
end
$$;
comment on function federation.broadcast_receipt(public.agent_messages) is 'How many were to hear a message to everybody, how many have handled it, and how many have given it up.';

-- Something changed that may have been the last its sender waits for.
create or replace function federation.tell_broadcast(message public.agent_messages)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  receipt jsonb;
begin
  if not message.receipts or message.handled_at is not null then
    return;
  end if;
  receipt := federation.broadcast_receipt(message);
  if receipt ->> 'handled_at' is not null then
    update public.agent_messages m set delivered_at = coalesce(m.delivered_at, now()), handled_at = now()
    where m.row_id = message.row_id and m.handled_at is null;
  elsif receipt ->> 'dead_at' is not null then
    perform federation.announce('federation:' || message.tenant_id || ':agent:' || message.from_agent, 'receipt', receipt);
  end if;
end
$$;

-- As before, and given up by some counts as an end.
create or replace function public.feed_place(cursor text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(feed_place.cursor, ':');
  moment pg_snapshot := pg_current_snapshot();
  here text := federation.epoch();
  before federation.feed_places;
  place federation.feed_places;
  is_new boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if feed_place.cursor is null then
    insert into federation.feed_places (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, pg_snapshot_xmin(moment), 0, concat_ws(':', here, pg_snapshot_xmin(moment), 0, moment))
    on conflict (tenant_id, agent_id) do nothing;
    is_new := found;
  elsif feed_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> here
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    raise exception 'cursor: expected one that pull_messages() gave out here, got %', quote_literal(left(feed_place.cursor, 150))
      using errcode = '22023';
  else
    select * into before from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent for update;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    insert into federation.feed_places as p (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, given[2]::xid8, given[3]::bigint, feed_place.cursor)
    on conflict (tenant_id, agent_id) do update set
      epoch = excluded.epoch, tx = excluded.tx, seq = excluded.seq, cursor = excluded.cursor, moved_at = now()
    where p.epoch <> excluded.epoch or (excluded.tx, excluded.seq) > (p.tx, p.seq);
    if before.epoch = here then
      -- The last one to come by tells the sender.
      perform federation.tell_broadcast(m) from public.agent_messages m
      where m.tenant_id = who.tenant and m.to_agent is null and m.receipts and m.handled_at is null
        and (m.tx, m.seq) > (before.tx, before.seq) and (m.tx, m.seq) <= (given[2]::xid8, given[3]::bigint);
    end if;
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.cursor, 'moved_at', place.moved_at, 'new', is_new);
end
$$;

-- As before, and messages to everybody that the agent has taken out of its dead letters.
create or replace function public.pull_inbox(
  max_messages integer default 100, after_seq bigint default 0, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  most integer := federation.check_rows(max_messages);
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  return query
    select w.message from (
      (select m.seq, federation.message_json(m) as message from public.agent_messages m
       where m.tenant_id = who.tenant and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
         and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
       order by m.seq limit most)
      union all
      (select m.seq, federation.message_json(m) || jsonb_build_object('delivery_attempt', f.delivery_attempt)
       from public.agent_message_failures f join public.agent_messages m on m.row_id = f.message_row
       where f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
         and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
       order by m.seq limit most)) w
    order by w.seq
    limit most;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before; a message to everybody that was handled after all leaves no trace.
create or replace function public.mark_messages(
  ids text[], state text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if state is null or state not in ('delivered', 'handled') then
    raise exception 'state: expected delivered or handled, got %', coalesce(quote_literal(state), 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  -- In the order of the rows, so that two who mark the same messages wait for each other instead of deadlocking.
  with wanted as (
    select m.row_id from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent
      and case state when 'delivered' then m.delivered_at is null else m.handled_at is null end
    order by m.row_id for update)
  update public.agent_messages m set
    delivered_at = coalesce(m.delivered_at, now()),
    handled_at = case state when 'handled' then now() else m.handled_at end
  from wanted w where m.row_id = w.row_id;
  get diagnostics changed = row_count;
  if state = 'handled' then
    for message in
      select m.* from public.agent_message_failures f join public.agent_messages m on m.row_id = f.message_row
      where f.tenant_id = who.tenant and f.agent_id = who.agent and m.id = any (ids)
      order by m.row_id for update
    loop
      delete from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
      perform federation.tell_broadcast(message);
      changed := changed + 1;
    end loop;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$$;

-- As before, for both kinds.
create or replace function public.deliver_messages(
  ids text[], max_deliveries integer default 5, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_deliveries is null or max_deliveries < 1 then
    raise exception 'max_deliveries: expected 1 or more, got %', coalesce(max_deliveries::text, 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  return query
    with wanted as (
      select m.row_id from public.agent_messages m
      where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
        and (m.expires_at is null or m.expires_at > now())
      order by m.row_id for update)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  return query
    update public.agent_message_failures f set
      delivery_attempt = least(f.delivery_attempt + 1, max_deliveries),
      dead_at = case when f.delivery_attempt >= max_deliveries then now() end
    from public.agent_messages m
    where m.row_id = f.message_row and m.id = any (ids) and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
      and (m.expires_at is null or m.expires_at > now())
    returning jsonb_build_object('id', m.id, 'delivery_attempt', f.delivery_attempt, 'dead', f.dead_at is not null);
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.handled_at is null and m.dead_at is null and m.expires_at <= now()
      and (m.to_agent = who.agent or exists (
        select from public.agent_message_failures f
        where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before, for both kinds.
create or replace function public.fail_message(
  id text, error text, dead boolean default false, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  reason text := left(coalesce(fail_message.error, 'no reason given'), 2000);
  changed boolean;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set
    last_error = reason,
    delivered_at = coalesce(m.delivered_at, now()),
    dead_at = case when fail_message.dead then now() end
  where m.tenant_id = who.tenant and m.id = fail_message.id and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null;
  changed := found;
  update public.agent_message_failures f set last_error = reason, dead_at = case when fail_message.dead then now() end
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = fail_message.id and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
  returning m.* into message;
  if fail_message.dead and message.row_id is not null then
    perform federation.tell_broadcast(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed or message.row_id is not null;
end
$$;

create or replace function public.fail_broadcast(
  id text, error text, attempts integer default 1, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if attempts is null or attempts < 1 then
    raise exception 'attempts: expected 1 or more, got %', coalesce(attempts::text, 'nothing') using errcode = '22023';
  end if;
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = fail_broadcast.id and m.to_agent is null and m.from_agent <> who.agent for update;
  if message.row_id is not null then
    insert into public.agent_message_failures as f (tenant_id, agent_id, message_row, delivery_attempt, last_error, dead_at)
    values (who.tenant, who.agent, message.row_id, attempts, left(coalesce(fail_broadcast.error, 'no reason given'), 2000), now())
    on conflict (message_row, agent_id) do update set
      delivery_attempt = excluded.delivery_attempt, last_error = excluded.last_error, dead_at = excluded.dead_at;
    perform federation.tell_broadcast(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return message.row_id is not null;
end
$$;
comment on function public.fail_broadcast is 'The acting agent gives up a message to everybody, which is a dead letter of its own from now on; false when there is none.';

-- As before, for both kinds.
create or replace function public.requeue_message(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  is_one boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set dead_at = null, delivery_attempt = 0
  where m.tenant_id = who.tenant and m.id = requeue_message.id and m.to_agent = who.agent and m.dead_at is not null;
  is_one := found;
  update public.agent_message_failures f set dead_at = null, delivery_attempt = 0
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = requeue_message.id and f.tenant_id = who.tenant and f.agent_id = who.agent
    and f.dead_at is not null;
  is_one := is_one or found;
  if is_one then
    perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'message', jsonb_build_object('id', requeue_message.id));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_one;
end
$$;

-- As before; of a message to everybody that the acting agent failed on, how far it got there. Its sender sees how far everybody is.
create or replace function public.get_message(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
  failure public.agent_message_failures;
  facts jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  if message.row_id is not null then
    select * into failure from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
    facts := federation.message_facts(message)
      || case when message.to_agent is null then federation.broadcast_receipt(message) else '{}' end
      || federation.failure_json(failure);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return facts;
end
$$;

-- As before; what the acting agent failed on lies in its inbox.
create or replace function public.list_messages(
  filter jsonb default '{}', max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  box text := coalesce(filter ->> 'box', 'all');
  state text := filter ->> 'state';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if box not in ('inbox', 'sent', 'all') then
    raise exception 'box: expected inbox, sent or all, got %', quote_literal(left(box, 150)) using errcode = '22023';
  end if;
  if state not in ('waiting', 'delivered', 'handled', 'dead') then
    raise exception 'state: expected waiting, delivered, handled or dead, got %', quote_literal(left(state, 150)) using errcode = '22023';
  end if;
  return query
    select federation.message_facts(m) || federation.failure_json(f)
    from public.agent_messages m
    left join public.agent_message_failures f on m.to_agent is null and f.message_row = m.row_id and f.agent_id = who.agent
    where m.tenant_id = who.tenant
      and case box
        when 'inbox' then m.to_agent = who.agent or f.row_id is not null
        when 'sent' then m.from_agent = who.agent
        else m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent end
      and case state
        when 'waiting' then m.to_agent is not null and m.delivered_at is null and m.dead_at is null
        when 'delivered' then case when f.row_id is null
          then m.delivered_at is not null and m.handled_at is null and m.dead_at is null else f.dead_at is null end
        when 'handled' then m.handled_at is not null
        when 'dead' then m.dead_at is not null or f.dead_at is not null
        else true end
      and (filter ->> 'type' is null or m.type = filter ->> 'type')
      and (filter ->> 'peer' is null or filter ->> 'peer' in (m.from_agent, m.to_agent))
      and (filter ->> 'reply_to' is null or m.reply_to = filter ->> 'reply_to')
      and (filter ->> 'before_seq' is null or m.seq < (filter ->> 'before_seq')::bigint)
    order by m.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before, and failures.
create or replace function federation.remove(tenant text, agent text)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_locks l where l.tenant_id = tenant and (agent is null or l.holder = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_locks', removed);
  delete from public.agent_message_failures f where f.tenant_id = tenant and (agent is null or f.agent_id = agent);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.remove', array['federation_definer']);
  perform federation.hand_out('federation.failure_json', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('public.fail_broadcast', members, true);
  perform federation.hand_out('federation.tell_broadcast', array['federation_definer']);
  perform federation.hand_out('federation.broadcast_receipt', array['authenticated', 'service_role', 'federation_definer'], true);
end
$$;

-- 20261129110000_retention_and_budget.sql
-- What else grows without end has a time of its own: events, always; messages that wait for an agent that never comes, where a service
-- says so. And nobody, however it sends, may send without end.
alter table federation.sync_settings
  add column if not exists waiting_kept interval check (waiting_kept >= interval '1 day'),
  add column if not exists events_kept interval not null default interval '30 days' check (events_kept >= interval '1 day'),
  add column if not exists messages_per_minute integer not null default 60000 check (messages_per_minute between 1 and 100000000);
comment on table federation.sync_settings is
  'One row: what cursors of this database begin with; how long tombstones, messages and events stay; how long a chain of messages may be, and how many an agent may send in a minute.';

create or replace function public.keep_waiting_messages(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, or null for ever, got %', days using errcode = '22023';
  end if;
  update federation.sync_settings set waiting_kept = make_interval(days => keep_waiting_messages.days);
end
$$;
comment on function public.keep_waiting_messages is 'After how many days a message that its agent has not handled becomes a dead letter; null: never.';

create or replace function public.keep_events(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set events_kept = make_interval(days => keep_events.days);
end
$$;
comment on function public.keep_events is 'How long events stay.';

create or replace function public.limit_messages(per_minute integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if per_minute is null or per_minute not between 1 and 100000000 then
    raise exception 'per_minute: expected 1 to 100000000, got %', coalesce(per_minute::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set messages_per_minute = per_minute;
end
$$;
comment on function public.limit_messages is 'How many messages an agent may store in a minute, by all its processes together.';

-- Refuses with 53400 once an agent has stored more within the last minute; what tells of tasks is not counted, it ends with them. Counting
-- what a busy agent sent is not free, so a large limit is looked at every now and then, and overrun by about a hundredth of itself.
create or replace function federation.check_budget(message public.agent_messages)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  most integer := (select s.messages_per_minute from federation.sync_settings s);
  since timestamptz := clock_timestamp() - interval '1 minute';
  sent integer := 0;
  at timestamptz;
begin
  if random() * most > 100 then
    return;
  end if;
  for at in
    select m.created_at from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.from_agent = message.from_agent and m.type not in ('task_assignment', 'task_complete')
    order by m.seq desc limit most + 1
  loop
    exit when at < since;
    sent := sent + 1;
  end loop;
  if sent > most then
    raise exception 'messages: % has stored % within a minute, which is the limit', message.from_agent, most using errcode = '53400',
      hint = 'Send less, or have a service raise the limit: select public.limit_messages(…).';
  end if;
end
$$;
comment on function federation.check_budget(public.agent_messages) is 'Refuses a message of an agent that sends without end.';

-- As before, within the budget. A repetition of what is stored is no message more.
create or replace function public.send_message(
  id text, to_agent text, type text, payload jsonb,
  reply_to text default null, correlation_id text default null, hop_count integer default 0,
  sender_seq bigint default null, instance_id text default null, traceparent text default null,
  expires_at timestamptz default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('id', id, 255), federation.check_agent('to_agent', to_agent),
    federation.check_text('type', type, 255), federation.check_json('payload', payload),
    federation.check_text('reply_to', reply_to, 255, false), federation.check_text('correlation_id', correlation_id, 255, false),
    federation.check_text('instance_id', instance_id, 255, false), federation.check_text('traceparent', traceparent, 255, false);
  if hop_count < 0 then
    raise exception 'hop_count: expected 0 or more, got %', hop_count using errcode = '22023';
  end if;
  -- Whoever gets these acts on them, so they come from the functions that change the task and from nowhere else.
  if type = 'task_assignment' then
    raise exception 'task_assignment is no message to send' using errcode = '42501', hint = 'Call assign_task().';
  elsif type = 'task_complete' and to_agent is not null then
    raise exception 'task_complete is no message to send to one agent' using errcode = '42501',
      hint = 'Call complete_task(), which tells whoever assigned the task.';
  elsif type = 'task_complete' and payload ->> 'completed_by' <> who.agent then
    raise exception 'task_complete: completed_by: expected %, who sends it, got %', quote_literal(who.agent),
      quote_literal(left(payload ->> 'completed_by', 150)) using errcode = '42501';
  end if;
  message.tenant_id := who.tenant;
  message.id := id;
  message.from_agent := who.agent;
  message.to_agent := to_agent;
  message.type := type;
  message.payload := coalesce(payload, 'null');
  message.reply_to := reply_to;
  message.correlation_id := correlation_id;
  message.hop_count := coalesce(hop_count, 0);
  message.sender_seq := sender_seq;
  message.instance_id := instance_id;
  message.traceparent := traceparent;
  message.expires_at := expires_at;
  message := federation.store_message(message);
  if message.tx = pg_current_xact_id() then
    perform federation.check_budget(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.message_json(message);
end
$$;

-- As before; what has waited for too long becomes a dead letter.
create or replace function federation.remove_old_messages(tenant text, max_rows integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  given_up interval := (select s.waiting_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  if given_up is not null then
    -- Agent by agent, each by one look at its oldest.
    with recursive boxes as (
      (select m.to_agent from public.agent_messages m
       where m.tenant_id = tenant and m.to_agent is not null and m.handled_at is null and m.dead_at is null order by m.to_agent limit 1)
      union all
      select (select m.to_agent from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent > b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.to_agent limit 1)
      from boxes b where b.to_agent is not null),
    waiting as (
      select w.row_id from boxes b cross join lateral (
        select m.row_id, m.created_at, m.expires_at from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent = b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.seq limit max_rows) w
      where w.created_at < now() - given_up and (w.expires_at is null or w.expires_at > now())
      limit max_rows)
    update public.agent_messages m set
      dead_at = now(),
      last_error = coalesce(m.last_error, format('waited for %s days, and no handler came to its end', extract(day from given_up)))
    from waiting w where m.row_id = w.row_id;
  end if;
  old := array(
      select h.row_id from public.agent_messages h where h.tenant_id = tenant and h.handled_at < before
      order by h.handled_at limit max_rows for update skip locked)
    || array(
      select e.row_id from public.agent_messages e
      where e.tenant_id = tenant and e.expires_at < now() - interval '1 day' and e.handled_at is null
      order by e.expires_at limit max_rows for update skip locked)
    || array(
      select d.row_id from public.agent_messages d where d.tenant_id = tenant and d.dead_at < before
      limit max_rows for update skip locked)
    || array(
      select b.row_id from (
        select a.row_id, a.created_at from public.agent_messages a
        where a.tenant_id = tenant and a.to_agent is null order by a.tx, a.seq limit max_rows) b
      where b.created_at < before);
  delete from public.agent_messages m where m.row_id = any (old[1:max_rows]);
  get diagnostics removed = row_count;
  delete from federation.feed_places p where p.tenant_id = tenant and p.moved_at < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$$;

create or replace function federation.remove_old_events(tenant text, max_rows integer)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.events_kept from federation.sync_settings s);
  removed integer;
begin
  delete from public.agent_events e using (
    select o.row_id, o.created_at from public.agent_events o where o.tenant_id = tenant order by o.seq limit max_rows) old
  where e.row_id = old.row_id and old.created_at < before;
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function federation.remove_old_events(text, integer) is 'Removes events of a tenant whose time is over; how many.';

create or replace function federation.tenants_with_events()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with recursive tenants as (
    (select e.tenant_id from public.agent_events e order by e.tenant_id limit 1)
    union all
    select (select e.tenant_id from public.agent_events e where e.tenant_id > t.tenant_id order by e.tenant_id limit 1)
    from tenants t where t.tenant_id is not null)
  select t.tenant_id from tenants t where t.tenant_id is not null
$$;

create or replace function public.cleanup_events(
  max_rows integer default 10000, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_old_events(who.tenant, federation.check_rows(max_rows));
  else
    select coalesce(sum(public.cleanup_events(max_rows, null, t)), 0) into removed from federation.tenants_with_events() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_events is 'Removes events whose time is over, at most max_rows of a tenant; answers how many.';

-- As before, and events.
create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
  forgotten integer;
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep as u (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at
  returning u.messages_at into looked_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  delete from public.agent_locks l where l.tenant_id = tenant and l.expires_at < now() - interval '1 day';
  if looked_at < clock_timestamp() - interval '1 minute' then
    removed := federation.remove_old_messages(tenant, 1000);
    forgotten := federation.remove_old_events(tenant, 1000);
    if removed < 1000 and forgotten < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed, 'events', forgotten);
  end if;
  perform federation.tell_sessions(tenant);
  return done;
end
$$;

create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories(), cleanup_tombstones(), cleanup_messages() and cleanup_events() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones(), public.cleanup_messages(), public.cleanup_events()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.keep_waiting_messages', array['service_role'], true);
  perform federation.hand_out('public.keep_events', array['service_role'], true);
  perform federation.hand_out('public.limit_messages', array['service_role'], true);
  perform federation.hand_out('federation.check_budget', array['federation_definer']);
  perform federation.hand_out('federation.remove_old_events', array['federation_definer']);
  perform federation.hand_out('federation.tenants_with_events', array['federation_definer']);
  perform federation.hand_out('public.cleanup_events', members, true);
end
$$;

-- 20261129115000_feed_starts.sql
-- A message to everybody may end the process that handles it, and the next one, and so on: its place does not move, so that it would be
-- told for ever. How many processes have begun to tell from a place is counted, and what lies at it is given up in the end.
alter table federation.feed_places add column if not exists starts integer not null default 0;
comment on column federation.feed_places.starts is 'How many processes have begun to tell what comes behind it.';

create or replace function public.start_feed(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  counted integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update federation.feed_places p set starts = p.starts + 1
  where p.tenant_id = who.tenant and p.agent_id = who.agent returning p.starts into counted;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return coalesce(counted, 0);
end
$$;
comment on function public.start_feed is 'A process of the acting agent begins to tell what comes behind the agent''s place; how many have since the place moved.';

-- As before; where it moves, nobody has begun.
create or replace function public.feed_place(cursor text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(feed_place.cursor, ':');
  moment pg_snapshot := pg_current_snapshot();
  here text := federation.epoch();
  before federation.feed_places;
  place federation.feed_places;
  is_new boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if feed_place.cursor is null then
    insert into federation.feed_places (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, pg_snapshot_xmin(moment), 0, concat_ws(':', here, pg_snapshot_xmin(moment), 0, moment))
    on conflict (tenant_id, agent_id) do nothing;
    is_new := found;
  elsif feed_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> here
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    raise exception 'cursor: expected one that pull_messages() gave out here, got %', quote_literal(left(feed_place.cursor, 150))
      using errcode = '22023';
  else
    select * into before from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent for update;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    insert into federation.feed_places as p (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, given[2]::xid8, given[3]::bigint, feed_place.cursor)
    on conflict (tenant_id, agent_id) do update set
      epoch = excluded.epoch, tx = excluded.tx, seq = excluded.seq, cursor = excluded.cursor, moved_at = now(), starts = 0
    where p.epoch <> excluded.epoch or (excluded.tx, excluded.seq) > (p.tx, p.seq);
    if before.epoch = here then
      -- The last one to come by tells the sender.
      perform federation.tell_broadcast(m) from public.agent_messages m
      where m.tenant_id = who.tenant and m.to_agent is null and m.receipts and m.handled_at is null
        and (m.tx, m.seq) > (before.tx, before.seq) and (m.tx, m.seq) <= (given[2]::xid8, given[3]::bigint);
    end if;
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.cursor, 'moved_at', place.moved_at, 'new', is_new);
end
$$;

do $$
begin
  perform federation.hand_out('public.start_feed', array['authenticated', 'service_role'], true);
end
$$;

-- 20261129120000_schema_version.sql
-- breaking
-- Broadcasts that an agent gives up: a database of schema 3 does not know the function.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 4 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

-- 20261129130000_own_changes.sql
-- What a replica wrote itself need not come back with its content, most of which is its embedding: pull_changes() leaves it out.

-- A page of pull_memories() or pull_changes(). A sequence is handed out before the commit, so "greater than the last I saw" would lose
-- rows. Every transaction below `horizon` has ended, so what it wrote is seen or never will be.
create or replace function federation.pull_page(
  writer text, cursor text, max_rows integer, max_bytes integer, as_agent text, as_tenant text)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  -- How far everything was read; and, during a first reading, when it began.
  after_tx xid8 := '0';
  after_seq bigint := 0;
  since xid8;
  is_reset boolean := false;
  is_more boolean;
  is_held_back boolean;
  page record;
  answer json;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if cursor is null then
    since := horizon;
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
    is_reset := true;
  else
    after_tx := given[2];
    after_seq := given[3];
    since := given[4];
  end if;
  max_rows := greatest(1, federation.check_rows(max_rows));
  if not is_reset then
    with changes as (
      select c.tx, c.seq, c.memory, c.weight, c.hidden,
        row_number() over earlier as place, sum(c.weight) over earlier as bytes
      from (
        (select k.tx, k.seq, k as memory, case when k.hlc_writer = writer then 700 else federation.memory_weight(k) end as weight,
           null as hidden
         from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory, coalesce((p.memory).hlc_writer = writer, false))) end, ',' order by p.place) as memories
    into page from page p;
    -- Asked after reading, so that nothing is removed in between unnoticed.
    is_reset := federation.is_below_floor(
      greatest(after_tx, since), case when since is null or after_tx >= since then after_seq else 0 end, horizon);
  end if;
  if is_reset then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0:', horizon), 'done', false, 'reset', true,
      'server_time', clock_timestamp());
  else
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_memories k
        where k.tenant_id = who.tenant and (k.tx, k.seq) > (horizon, 0::bigint)
          and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent))
      or exists (select from federation.hidden_since(horizon, 0, pg_snapshot_xmax(pg_current_snapshot()), 1)));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;

create or replace function public.pull_memories(
  cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$ begin return federation.pull_page(null, cursor, max_rows, max_bytes, as_agent, as_tenant); end $$;
comment on function public.pull_memories is 'What changed in the tenant''s memories since a cursor, in the order of change, and the next cursor.';

create or replace function public.pull_changes(
  writer text, cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$ begin return federation.pull_page(writer, cursor, max_rows, max_bytes, as_agent, as_tenant); end $$;
comment on function public.pull_changes is 'As pull_memories(), without the content of what `writer` wrote last.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.pull_page', members);
  perform federation.hand_out('public.pull_changes', members);
end
$$;

-- 20261129140000_schema_version.sql
-- breaking
-- Replicas pull with pull_changes(): a database of schema 4 does not know the function.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 5 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

-- 20261130100000_memory_places.sql
-- How far each agent has heard of the memories of its tenant, so that its next process tells what changed meanwhile. Beside its place on the
-- feed, with which it goes when the agent does.
alter table federation.feed_places
  add column if not exists memory_cursor text,
  add column if not exists memory_at timestamptz;
comment on column federation.feed_places.memory_cursor is 'Up to where the agent was told which memories changed; null: from nowhere on yet.';
comment on column federation.feed_places.memory_at is 'When that was kept.';

-- Without a cursor: where the acting agent goes on, null for one that has kept nothing. With one: it was told of everything before.
create or replace function public.memory_place(cursor text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(memory_place.cursor, ':');
  here text := federation.epoch();
  place federation.feed_places;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if memory_place.cursor is not null then
    if memory_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}$' or given[1] <> here
      or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
      raise exception 'cursor: expected one that pull_memories() gave out here, got %', quote_literal(left(memory_place.cursor, 150))
        using errcode = '22023';
    end if;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    update federation.feed_places p set memory_cursor = memory_place.cursor, memory_at = now()
    where p.tenant_id = who.tenant and p.agent_id = who.agent and (
      p.memory_cursor is null or split_part(p.memory_cursor, ':', 1) <> here
      or (given[2]::xid8, given[3]::bigint) > (split_part(p.memory_cursor, ':', 2)::xid8, split_part(p.memory_cursor, ':', 3)::bigint));
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.memory_cursor, 'kept_at', place.memory_at);
end
$$;
comment on function public.memory_place is 'Up to where the acting agent was told which memories changed.';

-- As before; a place is as old as the younger of its two halves.
create or replace function federation.remove_old_messages(tenant text, max_rows integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  given_up interval := (select s.waiting_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  if given_up is not null then
    -- Agent by agent, each by one look at its oldest.
    with recursive boxes as (
      (select m.to_agent from public.agent_messages m
       where m.tenant_id = tenant and m.to_agent is not null and m.handled_at is null and m.dead_at is null order by m.to_agent limit 1)
      union all
      select (select m.to_agent from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent > b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.to_agent limit 1)
      from boxes b where b.to_agent is not null),
    waiting as (
      select w.row_id from boxes b cross join lateral (
        select m.row_id, m.created_at, m.expires_at from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent = b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.seq limit max_rows) w
      where w.created_at < now() - given_up and (w.expires_at is null or w.expires_at > now())
      limit max_rows)
    update public.agent_messages m set
      dead_at = now(),
      last_error = coalesce(m.last_error, format('waited for %s days, and no handler came to its end', extract(day from given_up)))
    from waiting w where m.row_id = w.row_id;
  end if;
  old := array(
      select h.row_id from public.agent_messages h where h.tenant_id = tenant and h.handled_at < before
      order by h.handled_at limit max_rows for update skip locked)
    || array(
      select e.row_id from public.agent_messages e
      where e.tenant_id = tenant and e.expires_at < now() - interval '1 day' and e.handled_at is null
      order by e.expires_at limit max_rows for update skip locked)
    || array(
      select d.row_id from public.agent_messages d where d.tenant_id = tenant and d.dead_at < before
      limit max_rows for update skip locked)
    || array(
      select b.row_id from (
        select a.row_id, a.created_at from public.agent_messages a
        where a.tenant_id = tenant and a.to_agent is null order by a.tx, a.seq limit max_rows) b
      where b.created_at < before);
  delete from public.agent_messages m where m.row_id = any (old[1:max_rows]);
  get diagnostics removed = row_count;
  delete from federation.feed_places p where p.tenant_id = tenant and greatest(p.moved_at, p.memory_at) < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$$;

do $$
begin
  perform federation.hand_out('public.memory_place', array['authenticated', 'service_role'], true);
end
$$;

-- 20261130100100_schema_version.sql
-- breaking
-- Hubs keep with memory_place() how far they heard of memories: a database of schema 5 does not know the function.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 6 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

-- 20261130140000_messages_together.sql
-- What a statement stores in messages is announced in one frame for each recipient, not in one for each message: a worker that ends
-- thirty tasks of one agent tells it in three frames, and thirty were three tenths of what the ends cost.

-- The rows of an announcement, in order, in frames that fit into a NOTIFY, so that nobody has to read them from the table. A row that
-- is larger has a frame that does not.
create or replace function federation.frames_of(news jsonb)
returns setof jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_agg(r.value order by r.place)
  from (
    select e.value, e.ordinality as place,
      (sum(octet_length(e.value::text)) over (order by e.ordinality) - octet_length(e.value::text)) / 5500 as frame
    from jsonb_array_elements(news) with ordinality e) r
  group by r.frame order by r.frame
$$;
comment on function federation.frames_of is 'The rows of an announcement, in frames that fit into a NOTIFY.';

create or replace function federation.announce_tasks(tenant text, news jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform federation.announce('federation:' || tenant || ':feed', 'tasks', jsonb_build_object('tasks', f.frame))
  from federation.frames_of(news) f(frame);
end
$$;

-- A `message` event carries { message }, or { messages } where a statement stored several for one recipient; a message too large to be
-- carried is { id }, alone or among them. What had expired when it was stored is announced to nobody.
create or replace function federation.tell_messages()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  box record;
begin
  for box in
    with stored as materialized (
      select n.tenant_id, n.to_agent, n.id, n.seq, federation.message_json(n) as message
      from new_rows n where coalesce(n.expires_at > clock_timestamp(), true))
    select 'federation:' || s.tenant_id || coalesce(':agent:' || s.to_agent, ':feed') as topic,
      jsonb_agg(case when octet_length(s.message::text) > 200000 then jsonb_build_object('id', s.id) else s.message end
        order by s.seq) as messages
    from stored s group by s.tenant_id, s.to_agent
  loop
    perform federation.announce(box.topic, 'message', case
      when jsonb_array_length(f.frame) > 1 then jsonb_build_object('messages', f.frame)
      when f.frame -> 0 ? 'from_agent' then jsonb_build_object('message', f.frame -> 0)
      else f.frame -> 0 end)
    from federation.frames_of(box.messages) f(frame);
  end loop;
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  select n.tenant_id, n.from_agent, 'message_stored', n.id, n.to_agent from new_rows n order by n.seq;
  return null;
end
$$;
comment on function federation.tell_messages is 'Trigger: tells recipients what was stored for them.';
create or replace trigger tell_insert after insert on public.agent_messages
  referencing new table as new_rows for each statement execute function federation.tell_messages();
drop trigger if exists tell on public.agent_messages;
drop function if exists federation.tell_message();

-- Few tasks wait for others: the rest need no entry, which every change of a task would make again. Below a policy an operator on arrays
-- is not looked up in an index, so that each end of a task looked at all of a tenant's tasks.
create index if not exists agent_tasks_waiting on public.agent_tasks (tenant_id) where ended_at is null and dependencies <> '{}';
drop index if exists public.agent_tasks_dependencies;

-- As before, by that index.
create or replace function federation.tell_tasks()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  change record;
  dependent public.agent_tasks;
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select n.tenant_id, jsonb_agg(federation.task_news(n, n.status) order by n.seq) as news from new_rows n group by n.tenant_id
    loop
      perform federation.announce_tasks(change.tenant_id, change.news);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    select n.tenant_id, n.assigned_by, 'task_assigned', n.task_id, n.assigned_to from new_rows n;
    return null;
  end if;
  for change in
    select c.tenant_id, jsonb_agg(federation.task_news(c.task, case when c.is_news then (c.task).status else 'progress' end)
        order by (c.task).seq) filter (where c.is_news or c.is_progress) as news,
      array_agg((c.task).task_id) filter (where c.has_ended) as ended
    from (
      select n.tenant_id, n::public.agent_tasks as task, o.ended_at is null and n.ended_at is not null as has_ended,
        (o.status, o.assigned_to, o.attempt) is distinct from (n.status, n.assigned_to, n.attempt) as is_news,
        (o.progress, o.progress_note) is distinct from (n.progress, n.progress_note) as is_progress
      from new_rows n join old_rows o using (row_id)) c
    group by c.tenant_id
  loop
    if change.news is not null then
      perform federation.announce_tasks(change.tenant_id, change.news);
    end if;
    continue when change.ended is null;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    select n.tenant_id, coalesce(n.lease_agent, n.assigned_to, n.assigned_by), 'task_' || n.status, n.task_id, n.assigned_by
    from new_rows n where n.tenant_id = change.tenant_id and n.task_id = any (change.ended);
    -- In the order of their ids, so that two that end at once wait for each other in one order.
    for dependent in
      select t.* from public.agent_tasks t
      where t.tenant_id = change.tenant_id and t.ended_at is null and t.dependencies <> '{}' and t.dependencies && change.ended
      order by t.task_id for update
    loop
      perform federation.settle_dependent(dependent);
    end loop;
  end loop;
  return null;
end
$$;

-- The tasks that [{ task_id, … }] names, each with what was said of it, by looking up each: an expression over JSON is not looked up in
-- an index below a policy, and a join of tables reads all of a tenant's tasks where they seem few.
create or replace function federation.tasks_named(tenant text, named jsonb)
returns table (row_id uuid, said jsonb)
language sql stable rows 1
set search_path = pg_catalog, pg_temp
as $$
  select t.row_id, n.said
  from (select e.value as said, e.value ->> 'task_id' as task_id from jsonb_array_elements(named) e offset 0) n, lateral (
    select a.row_id from public.agent_tasks a where a.tenant_id = tenant and a.task_id = n.task_id offset 0) t
$$;
comment on function federation.tasks_named is 'The tasks that are named, each with what was said of it.';

-- As before, however many tasks the tenant has.
create or replace function federation.finish_tasks(tenant text, agent text, said jsonb)
returns text[]
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  finished text[];
begin
  -- In the order of their rows, so that two calls about the same tasks wait for each other in one order.
  with mine as (
    select t.row_id, s.said -> 'result' as result
    from federation.tasks_named(finish_tasks.tenant, finish_tasks.said) s join public.agent_tasks t on t.row_id = s.row_id
    where t.ended_at is null and coalesce(t.lease_agent, t.assigned_to) = finish_tasks.agent
      and coalesce((s.said ->> 'fence')::bigint, t.fence) = t.fence
    order by t.row_id for update of t),
  done as (
    update public.agent_tasks t set
      status = 'completed', result = m.result, progress = 1, ended_at = now(), lease_until = null, error = null,
      started_at = coalesce(t.started_at, now())
    from mine m where t.row_id = m.row_id
    returning t.*),
  left_the_queue as (
    delete from public.agent_task_queue q using done d where q.tenant_id = finish_tasks.tenant and q.task_row = d.row_id),
  told as (
    insert into public.agent_messages (tenant_id, id, from_agent, to_agent, type, payload, hop_count, correlation_id, traceparent)
    select d.tenant_id, gen_random_uuid(), finish_tasks.agent, d.assigned_by, 'task_complete',
      jsonb_build_object('task_id', d.task_id, 'result', d.result, 'completed_by', finish_tasks.agent),
      d.hop_count + 1, coalesce(d.correlation_id, d.task_id), d.traceparent
    from done d)
  select coalesce(array_agg(d.task_id), '{}') into finished from done d;
  return finished;
end
$$;
create or replace function public.renew_tasks(leases jsonb, as_agent text DEFAULT NULL::text, as_tenant text DEFAULT NULL::text)
returns text[]
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  held text[];
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if leases is null or jsonb_typeof(leases) <> 'array' then
    raise exception 'leases: expected an array of { task_id, fence }, got %', coalesce(jsonb_typeof(leases), 'nothing') using errcode = '22023';
  end if;
  with mine as (
    select t.row_id
    from federation.tasks_named(who.tenant, leases) l join public.agent_tasks t on t.row_id = l.row_id
    where t.fence = (l.said ->> 'fence')::bigint and t.lease_agent = who.agent and t.lease_until is not null and t.ended_at is null
    order by t.row_id for update of t),
  renewed as (
    update public.agent_tasks t set lease_until = now() + interval '20 seconds'
    from mine m where t.row_id = m.row_id returning t.row_id, t.task_id),
  queued as (
    update public.agent_task_queue q set lease_until = now() + interval '20 seconds'
    from renewed r where q.tenant_id = who.tenant and q.task_row = r.row_id)
  select coalesce(array_agg(r.task_id), '{}') into held from renewed r;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return held;
end
$$;

-- As before, also what was announced of several messages.
create or replace function federation.forget_broadcasts(tenant text, agent text, ids text[])
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  room constant text := 'federation:' || tenant;
  forgotten integer;
  mine constant text := format($q$
    (m.topic = %1$L or starts_with(m.topic, %1$L || ':')) and (
      %2$L is null
      or m.topic = %1$L || ':agent:' || %2$L
      or %2$L in (m.payload ->> 'from_agent', m.payload ->> 'agent_id', m.payload ->> 'assigned_to', m.payload ->> 'assigned_by',
        m.payload ->> 'agent', m.payload ->> 'holder',
        m.payload #>> '{message,from_agent}', m.payload #>> '{message,to_agent}')
      or m.payload ->> 'id' = any (%3$L::text[])
      or (jsonb_typeof(m.payload -> 'ids') = 'array' and m.payload -> 'ids' ?| %3$L::text[])
      or (jsonb_typeof(m.payload -> 'memories') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'memories') k where %2$L in (k ->> 'agent_id', k ->> 'written_by')))
      or (jsonb_typeof(m.payload -> 'messages') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'messages') n
        where %2$L in (n ->> 'from_agent', n ->> 'to_agent') or n ->> 'id' = any (%3$L::text[])))
      or (jsonb_typeof(m.payload -> 'tasks') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'tasks') t where %2$L in (t ->> 'assigned_to', t ->> 'assigned_by', t ->> 'agent')))
      or (jsonb_typeof(m.payload -> 'sessions') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'sessions') s where s ->> 'agent_id' = %2$L)))
    $q$, room, agent, ids);
begin
  if has_table_privilege('realtime.messages', 'delete') then
    execute 'delete from realtime.messages m where ' || mine;
  else
    execute $q$update realtime.messages m set payload = '{}', topic = 'federation-forgotten', event = null where $q$ || mine;
  end if;
  get diagnostics forgotten = row_count;
  return forgotten;
end
$$;

do $$
begin
  perform federation.hand_out('federation.frames_of', array['federation_definer']);
  perform federation.hand_out('federation.announce_tasks', array['federation_definer']);
  perform federation.hand_out('federation.tell_messages', '{}', true);
  perform federation.hand_out('federation.tell_tasks', '{}', true);
  perform federation.hand_out('federation.tasks_named', array['federation_definer']);
  perform federation.hand_out('federation.finish_tasks', array['federation_definer']);
  perform federation.hand_out('federation.forget_broadcasts', array['federation_definer']);
  perform federation.hand_out('public.renew_tasks', array['authenticated', 'service_role'], true);
end
$$;

-- 20261201010000_session_scope.sql
-- Scope `session`: a memory is its own agent's and that of the agent whose session it names, as the sessions stood when it was last
-- written. Nobody can come by it afterwards: not by opening a session under that name, nor by taking over one that was removed.
do $$
begin
  if exists (select from pg_attribute where attrelid = 'public.agent_memories'::regclass and attname = 'session_agent' and not attisdropped) then
    return;
  end if;
  alter table public.agent_memories add column session_agent text;
  -- What was of that scope before was the whole tenant's: replicas of the others let go of it.
  insert into federation.hidden_memories (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer)
  select k.tenant_id, k.id, '', k.agent_id, k.version, k.hlc_ms, k.hlc_counter, k.hlc_writer
  from public.agent_memories k where k.scope = 'session'
  on conflict do nothing;
end
$$;
comment on column public.agent_memories.session_agent is 'Scope session: whose session it is, where it is another agent''s. Set by a trigger.';
create index if not exists agent_memories_session_agent on public.agent_memories (tenant_id, session_agent) where session_agent is not null;

-- As before; nobody's write is also that the session's agent was removed.
create or replace function federation.is_no_write(old public.agent_memories, new public.agent_memories)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.deleted_at is null and new.deleted_at is not null then
    return coalesce(old.expires_at <= now(), false);
  end if;
  return (new.superseded_by, new.session_agent) is distinct from (old.superseded_by, old.session_agent)
    and (new.agent_id, new.session_id, new.content, new.embedding::text, new.embedding_model, new.metadata, new.source, new.scope,
         new.supersedes, new.valid_from, new.valid_to, new.expires_at, new.deleted_at) is not distinct from
        (old.agent_id, old.session_id, old.content, old.embedding::text, old.embedding_model, old.metadata, old.source, old.scope,
         old.supersedes, old.valid_from, old.valid_to, old.expires_at, old.deleted_at);
end
$$;

-- As before; and whose the session is, which no writer decides either.
create or replace function federation.prepare_memory()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  now_ms bigint;
begin
  new.tx := pg_current_xact_id();
  new.seq := nextval('federation.change_seq');
  new.updated_at := now();
  if tg_op = 'INSERT' then
    new.version := 1;
    new.written_by := coalesce(new.written_by, federation.agent_id(), new.agent_id);
    if new.hlc_ms = 0 or new.hlc_ms > federation.latest_clock_ms() then
      new.hlc_ms := federation.latest_clock_ms() - 60000;
      new.hlc_counter := 0;
    end if;
    if new.hlc_writer = '' then
      new.hlc_writer := new.written_by;
    end if;
  else
    new.version := old.version + 1;
    new.row_id := old.row_id;
    -- What comes back after its deletion is a new memory under an old id.
    new.created_at := case when old.deleted_at is not null and new.deleted_at is null then new.created_at else old.created_at end;
    new.written_by := coalesce(federation.agent_id(), new.written_by);
    if new.hlc_ms > federation.latest_clock_ms()
      or not federation.is_later(new.hlc_ms, new.hlc_counter, new.hlc_writer, old.hlc_ms, old.hlc_counter, old.hlc_writer) then
      new.hlc_ms := old.hlc_ms;
      new.hlc_counter := old.hlc_counter;
      if not federation.is_no_write(old, new) then
        now_ms := federation.latest_clock_ms() - 60000;
        if now_ms > old.hlc_ms or old.hlc_counter = 2147483647 then
          new.hlc_ms := greatest(now_ms, old.hlc_ms + 1);
          new.hlc_counter := 0;
        else
          new.hlc_counter := old.hlc_counter + 1;
        end if;
        new.hlc_writer := case when new.hlc_writer = old.hlc_writer then coalesce(new.written_by, old.hlc_writer) else new.hlc_writer end;
      else
        new.hlc_writer := old.hlc_writer;
      end if;
    end if;
  end if;
  if new.scope <> 'session' then
    new.session_agent := null;
  elsif tg_op = 'INSERT' or (new.deleted_at is null and not federation.is_no_write(old, new)) then
    new.session_agent := (
      select s.agent_id from public.agent_sessions s
      where s.tenant_id = new.tenant_id and s.session_id = new.session_id and s.agent_id <> new.agent_id);
  elsif new.session_agent is not null then
    new.session_agent := old.session_agent;
  end if;
  if new.deleted_at is not null then
    new.content := null;
    new.embedding := null;
    new.embedding_model := null;
    new.metadata := '{}';
    new.source := null;
    new.content_hash := null;
  else
    new.content_hash := encode(sha256(convert_to(new.content, 'UTF8')), 'hex');
  end if;
  return new;
end
$$;
-- As before, and `session_agent`.
create or replace function federation.memory_facts(memory public.agent_memories)
returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'id', memory.id, 'tenant_id', memory.tenant_id, 'agent_id', memory.agent_id, 'session_id', memory.session_id,
    'session_agent', memory.session_agent, 'embedding_model', memory.embedding_model, 'scope', memory.scope, 'written_by', memory.written_by,
    'content_hash', memory.content_hash, 'supersedes', memory.supersedes, 'superseded_by', memory.superseded_by,
    'version', memory.version, 'created_at', memory.created_at, 'updated_at', memory.updated_at,
    'expires_at', memory.expires_at, 'deleted_at', memory.deleted_at, 'seq', memory.seq,
    'hlc', jsonb_build_object('ms', memory.hlc_ms, 'counter', memory.hlc_counter, 'writer', memory.hlc_writer))
$$;

-- Without a search_path of their own, so that they are inlined. `agent` null: a service that names nobody.
create or replace function federation.may_read(memory public.agent_memories, agent text)
returns boolean
language sql immutable parallel safe
as $$ select agent is null or memory.scope = 'tenant' or memory.agent_id = agent or memory.session_agent = agent $$;
comment on function federation.may_read(public.agent_memories, text) is 'Whether a memory''s scope admits an agent of its tenant.';

-- Who hears of a memory: '' is everybody.
create or replace function federation.memory_readers(memory public.agent_memories)
returns text[]
language sql immutable parallel safe
as $$
  select case
    when memory.scope = 'tenant' then array['']
    when memory.session_agent is null then array[memory.agent_id]
    else array[memory.agent_id, memory.session_agent]
  end
$$;

drop policy if exists "members read, but not what another agent keeps to itself" on public.agent_memories;
drop policy if exists "members read what its scope admits them to" on public.agent_memories;
create policy "members read what its scope admits them to" on public.agent_memories for select to authenticated
  using (tenant_id = (select federation.tenant_id())
    and (scope = 'tenant' or agent_id = (select federation.agent_id()) or session_agent = (select federation.agent_id())));

-- As before, to each who may read it: the feed, or the inboxes of one or two agents.
create or replace function federation.tell_memories()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone constant jsonb := '{"content": null, "embedding": null, "embedding_model": null, "metadata": {}, "source": null, "content_hash": null}';
  change record;
begin
  if tg_op <> 'DELETE' then
    -- An insert that may become an update sets both triggers off, most of the time one of them for nothing.
    if not exists (select from new_rows) then
      return null;
    end if;
  end if;
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select 'added' as op, n.tenant_id, r.reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope <> 'tenant' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or r.reader <> all (federation.memory_readers(o)) then 'added'
                    else 'updated' end as op,
          n.tenant_id, r.reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)
        union all
        select 'deleted', o.tenant_id, r.reader, o.id, n.seq,
          federation.memory_facts(o) || gone || jsonb_build_object('deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc')
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(o)) r (reader)
        where o.deleted_at is null and (o.tenant_id <> n.tenant_id or r.reader <> all (federation.memory_readers(n)))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, case when n.deleted_at is null then 'memory_stored' else 'memory_deleted' end, n.id, n.scope <> 'tenant'
    from new_rows n join old_rows o using (row_id) where n.deleted_at is null or o.deleted_at is null;
  else
    for change in
      select o.tenant_id, r.reader, array_agg(o.id order by o.seq) as ids,
        case when count(*) <= 200 then jsonb_agg(federation.memory_facts(o) || gone
          || jsonb_build_object('deleted_at', now(), 'seq', nextval('federation.change_seq')) order by o.seq) end as memories
      from old_rows o cross join lateral unnest(federation.memory_readers(o)) r (reader)
      where o.deleted_at is null
      group by o.tenant_id, r.reader
    loop
      perform federation.announce_memories('deleted', change.tenant_id, nullif(change.reader, ''), change.ids, change.memories);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select o.tenant_id, o.agent_id, 'memory_deleted', o.id, o.scope <> 'tenant' from old_rows o where o.deleted_at is null;
  end if;
  return null;
end
$$;
-- Row by row, and only where somebody may lose a memory, so that it costs nothing elsewhere.
create or replace function federation.note_lost()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  readers constant text[] := federation.memory_readers(new);
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer)
  select old.tenant_id, old.id, r.reader, old.agent_id, new.version, new.hlc_ms, new.hlc_counter, new.hlc_writer
  from unnest(federation.memory_readers(old)) r (reader)
  where (old.tenant_id, old.id) is distinct from (new.tenant_id, new.id) or ('' <> all (readers) and r.reader <> all (readers))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$$;
comment on function federation.note_lost() is 'Trigger: notes whom a change takes a memory from.';
drop trigger if exists note_hidden on public.agent_memories;
drop function if exists federation.note_hidden();
create or replace trigger note_lost after update on public.agent_memories
  for each row when ((old.tenant_id, old.id, old.agent_id, old.scope, old.session_agent) is distinct from
    (new.tenant_id, new.id, new.agent_id, new.scope, new.session_agent))
  execute function federation.note_lost();

drop function if exists federation.memory_reader(public.agent_memories);

-- As before; and other agents' memories are in no session of a removed agent.
create or replace function federation.remove(tenant text, agent text)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_locks l where l.tenant_id = tenant and (agent is null or l.holder = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_locks', removed);
  delete from public.agent_message_failures f where f.tenant_id = tenant and (agent is null or f.agent_id = agent);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  update public.agent_memories k set session_agent = null where k.tenant_id = tenant and k.session_agent = agent;
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.is_no_write', members);
  perform federation.hand_out('federation.prepare_memory', '{}');
  perform federation.hand_out('federation.memory_facts', members);
  perform federation.hand_out('federation.may_read', members);
  perform federation.hand_out('federation.memory_readers', array['federation_definer']);
  perform federation.hand_out('federation.tell_memories', '{}', true);
  perform federation.hand_out('federation.note_lost', '{}', true);
  perform federation.hand_out('federation.remove', array['federation_definer']);
end
$$;

-- 20261201010100_session_scope_reads.sql
-- What answers with memories asks may_read(): all as before otherwise.

create or replace function public.query_memories(
  agent text default null, max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_agent('agent', query_memories.agent);
  return query
    select federation.memory_json(k) from public.agent_memories k
    where k.tenant_id = who.tenant and (query_memories.agent is null or k.agent_id = query_memories.agent)
      and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
      and federation.may_read(k, who.agent)
    order by k.created_at desc, k.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

create or replace function public.get_memory(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  memory jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select federation.memory_json(k) into memory from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = get_memory.id
    and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
    and federation.may_read(k, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return memory;
end
$$;

create or replace function public.delete_memory(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  owner text;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select k.agent_id into owner from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = delete_memory.id and k.deleted_at is null
    and federation.may_read(k, who.agent);
  if owner <> who.agent then
    raise exception 'memory % belongs to another agent', quote_literal(delete_memory.id) using errcode = '42501';
  end if;
  if owner is not null then
    update public.agent_memories k set deleted_at = now()
    where k.tenant_id = who.tenant and k.id = delete_memory.id and k.agent_id = owner and k.deleted_at is null;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return owner is not null;
end
$$;

create or replace function federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
returns table (tx xid8, seq bigint, memory text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select h.tx, h.seq, jsonb_build_object(
    'id', h.id, 'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'session_id', null, 'session_agent', null, 'content', null, 'embedding', null,
    'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'scope', 'tenant', 'written_by', h.agent_id, 'content_hash', null,
    'supersedes', null, 'superseded_by', null, 'version', h.version, 'created_at', h.hidden_at, 'updated_at', h.hidden_at,
    'expires_at', null, 'deleted_at', h.hidden_at, 'seq', h.seq,
    'hlc', jsonb_build_object('ms', h.hlc_ms, 'counter', h.hlc_counter, 'writer', h.hlc_writer))::text
  from federation.hidden_memories h
  where h.tenant_id = federation.tenant_id() and (h.tx, h.seq) > (after_tx, after_seq) and h.tx < horizon
    and (h.lost_by = '' or federation.agent_id() is null or h.lost_by = federation.agent_id())
    and not exists (
      select from public.agent_memories k
      where k.tenant_id = h.tenant_id and k.id = h.id and federation.may_read(k, federation.agent_id()))
  order by h.tx, h.seq
  limit max_rows
$$;

create or replace function federation.pull_page(
  writer text, cursor text, max_rows integer, max_bytes integer, as_agent text, as_tenant text)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  -- How far everything was read; and, during a first reading, when it began.
  after_tx xid8 := '0';
  after_seq bigint := 0;
  since xid8;
  is_reset boolean := false;
  is_more boolean;
  is_held_back boolean;
  page record;
  answer json;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if cursor is null then
    since := horizon;
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
    is_reset := true;
  else
    after_tx := given[2];
    after_seq := given[3];
    since := given[4];
  end if;
  max_rows := greatest(1, federation.check_rows(max_rows));
  if not is_reset then
    with changes as (
      select c.tx, c.seq, c.memory, c.weight, c.hidden,
        row_number() over earlier as place, sum(c.weight) over earlier as bytes
      from (
        (select k.tx, k.seq, k as memory, case when k.hlc_writer = writer then 700 else federation.memory_weight(k) end as weight,
           null as hidden
         from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and federation.may_read(k, who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory, coalesce((p.memory).hlc_writer = writer, false))) end, ',' order by p.place) as memories
    into page from page p;
    -- Asked after reading, so that nothing is removed in between unnoticed.
    is_reset := federation.is_below_floor(
      greatest(after_tx, since), case when since is null or after_tx >= since then after_seq else 0 end, horizon);
  end if;
  if is_reset then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0:', horizon), 'done', false, 'reset', true,
      'server_time', clock_timestamp());
  else
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_memories k
        where k.tenant_id = who.tenant and (k.tx, k.seq) > (horizon, 0::bigint)
          and federation.may_read(k, who.agent))
      or exists (select from federation.hidden_since(horizon, 0, pg_snapshot_xmax(pg_current_snapshot()), 1)));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;

create or replace function public.read_memories(ids text[], as_agent text default null, as_tenant text default null)
returns setof json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.replica_text(k)::json from public.agent_memories k
    where k.tenant_id = who.tenant and k.id = any (ids)
      and federation.may_read(k, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

create or replace function public.federation_stats(as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  stats jsonb;
begin
  -- A service that names no tenant counts all of them; the policies keep everybody else to their own.
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  select jsonb_build_object(
    'total_memories', (
      select count(*) from public.agent_memories k
      where (who.tenant is null or k.tenant_id = who.tenant) and k.deleted_at is null and k.superseded_by is null
        and (k.expires_at is null or k.expires_at > now()) and federation.may_read(k, who.agent)),
    'active_sessions', (
      select count(*) from public.agent_sessions s
      where (who.tenant is null or s.tenant_id = who.tenant) and s.ended_at is null
        and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)),
    'total_messages', (
      select count(*) from public.agent_messages m
      where (who.tenant is null or m.tenant_id = who.tenant)
        and (who.agent is null or m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent)),
    'open_tasks', (
      select count(*) from public.agent_tasks t where (who.tenant is null or t.tenant_id = who.tenant) and t.ended_at is null))
  into stats;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return stats;
end
$$;

create or replace function public.heartbeat(
  session_id text, status text default null, task text default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  positions jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', heartbeat.session_id, 255),
    federation.check_text('status', coalesce(heartbeat.status, 'unchanged'), 64),
    federation.check_text('task', heartbeat.task, 65536, false);
  update public.agent_sessions s set
    last_seen_at = now(),
    status = coalesce(heartbeat.status, s.status),
    task = case when heartbeat.status is null then coalesce(heartbeat.task, s.task) else heartbeat.task end
  where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent and s.ended_at is null
  returning s.* into session;
  if not found then
    select * into session from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent;
  end if;
  perform federation.sweep(who.tenant);
  select jsonb_build_object(
    'inbox', coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent = who.agent), 0),
    'feed', greatest(
      coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent is null), 0),
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope = 'tenant'), 0)),
    'queue', greatest(
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to = who.agent), 0),
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to is null), 0)),
    'roster', coalesce((select max(s.seq) from public.agent_sessions s where s.tenant_id = who.tenant), 0))
  into positions;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object(
    'server_time', clock_timestamp(), 'alive', session.row_id is not null and session.ended_at is null,
    'end_reason', session.end_reason, 'positions', positions);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.query_memories', members);
  perform federation.hand_out('public.get_memory', members);
  perform federation.hand_out('public.delete_memory', members);
  perform federation.hand_out('federation.hidden_since', members, true);
  perform federation.hand_out('federation.pull_page', members);
  perform federation.hand_out('public.read_memories', members);
  perform federation.hand_out('public.federation_stats', members);
  perform federation.hand_out('public.heartbeat', members, true);
end
$$;

-- 20261201010200_session_scope_search.sql
-- The searches ask may_read() as well: all as before otherwise.

do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  before text := current_setting('search_path');
begin
  perform set_config('search_path', format('pg_catalog, %I, pg_temp', home), true);
  execute $create$
    create or replace function federation.matches(
      embedding vector, model text, words tsquery, wanted jsonb, depth integer, min_similarity float8)
    returns table (row_id uuid, similarity float8, rank float8, place bigint)
    language plpgsql security definer
    as $body$
    declare
      me record;
      filter record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      passing constant text := 'k.tenant_id = $2 and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and ($3 is null or k.scope = ''tenant'' or $3 in (k.agent_id, k.session_agent)) '
        'and ($4 is null or k.agent_id = $4) and ($5 is null or k.session_id = $5) and ($6 is null or k.created_at >= $6) '
        'and ($7 is null or k.created_at < $7) and ($8 is null or k.metadata @> $8)';
      few constant integer := 10000;
      candidates integer;
    begin
      select federation.tenant_id() as tenant, federation.agent_id() as agent into me;
      select * into filter from federation.read_filter(wanted);
      if me.tenant is null then
        return;
      end if;
      if embedding is not null then
        if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
          execute format('select count(*) from (select from public.agent_memories k where %s and vector_dims(k.embedding) = %s limit %s) c',
            passing, dimensions, few + 1)
            into candidates using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata;
          -- Among few, all are compared. Among many, the index goes on until enough have passed (pgvector has that since 0.8).
          if candidates > few and (
            select string_to_array(e.extversion, '.')::integer[] >= array[0, 8] from pg_extension e where e.extname = 'vector') then
            near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
            perform set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.max_scan_tuples', '2147483647', true),
              set_config('hnsw.ef_search', least(1000, greatest(100, 2 * depth))::text, true);
          end if;
        end if;
        return query execute format(
          'select m.row_id, m.similarity, null::float8, row_number() over (order by m.similarity desc, m.seq desc) from ('
          'select k.row_id, k.seq, 1 - (%1$s) as similarity from public.agent_memories k '
          'where %2$s and vector_dims(k.embedding) = %3$s and k.embedding_model is not distinct from $9 '
          'order by %1$s limit $10) m where $11 is null or m.similarity >= $11', near, passing, dimensions)
          using embedding, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, model, depth, min_similarity;
      end if;
      if words is not null then
        return query execute format(
          'select m.row_id, null::float8, m.rank, row_number() over (order by m.rank desc, m.seq desc) from ('
          'select k.row_id, k.seq, ts_rank(k.words, $1)::float8 as rank from public.agent_memories k '
          'where %s and k.words @@ $1 order by rank desc, k.seq desc limit $9) m', passing)
          using words, me.tenant, me.agent, filter.agent, filter.session, filter.since, filter.until, filter.metadata, depth;
      end if;
    end
    $body$
  $create$;
  execute format('alter function federation.matches set search_path = pg_catalog, %I, pg_temp', home);
  execute $create$
    create or replace function public.find_memories(query jsonb, as_agent text default null, as_tenant text default null)
    returns setof json
    language plpgsql
    as $body$
    declare
      who record;
      filter record;
      embedding vector := query ->> 'embedding';
      words tsquery;
      mode text := query ->> 'mode';
      wanted integer := coalesce((query ->> 'limit')::integer, 10);
      stranger text;
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if query is null or jsonb_typeof(query) <> 'object' then
        raise exception 'query: expected an object, got %', coalesce(jsonb_typeof(query), 'nothing') using errcode = '22023';
      end if;
      select k into stranger from jsonb_object_keys(query) k
      where k not in ('text', 'embedding', 'embedding_model', 'mode', 'filter', 'limit', 'min_similarity') limit 1;
      if stranger is not null then
        raise exception 'query: expected text, embedding, embedding_model, mode, filter, limit or min_similarity, got %',
          quote_literal(left(stranger, 100)) using errcode = '22023';
      end if;
      select * into filter from federation.read_filter(query -> 'filter');
      perform federation.check_text('text', query ->> 'text', 65536, false);
      wanted := federation.check_rows(wanted);
      mode := coalesce(mode, case when query ->> 'text' is null then 'meaning' when embedding is null then 'words' else 'both' end);
      if mode not in ('meaning', 'words', 'both') then
        raise exception 'mode: expected meaning, words or both, got %', quote_literal(left(mode, 100)) using errcode = '22023';
      elsif mode <> 'words' and (embedding is null or vector_norm(embedding) = 0) then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      elsif mode <> 'meaning' and query ->> 'text' is null then
        raise exception 'text: expected a text, got nothing' using errcode = '22023';
      end if;
      if mode = 'meaning' then
        words := null;
      else
        words := federation.words_query(query ->> 'text');
      end if;
      if mode = 'words' then
        embedding := null;
      end if;
      return query
        with found as materialized (
          select m.row_id, max(m.similarity) as similarity,
            case mode when 'both' then sum(1.0 / (60 + m.place))::float8 else max(coalesce(m.similarity, m.rank)) end as score
          from federation.matches(embedding, query ->> 'embedding_model', words, query -> 'filter',
            case mode when 'both' then least(10000, greatest(100, 4 * wanted)) else wanted end, (query ->> 'min_similarity')::float8) m
          group by m.row_id)
        select concat(left(federation.memory_text(k), -1), ', "similarity": ', coalesce(to_json(f.similarity)::text, 'null'),
          ', "score": ', to_json(f.score), '}')::json
        from found f
        -- Each row again under the policies of the caller, and as it is by now.
        cross join lateral (
          select m from public.agent_memories m where m.row_id = f.row_id and m.tenant_id = who.tenant offset 0) r (k)
        where (k).deleted_at is null and (k).superseded_by is null and ((k).expires_at is null or (k).expires_at > now())
          and federation.may_read(k, who.agent)
        order by f.score desc, (k).seq desc
        limit wanted;
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.find_memories set search_path = pg_catalog, %I, pg_temp', home);
  execute $create$
    create or replace function public.search_memories(
      embedding vector, max_rows integer default 10, as_agent text default null, as_tenant text default null)
    returns setof jsonb
    language plpgsql
    as $body$
    declare
      who record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      version integer[];
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if embedding is null or vector_norm(embedding) = 0 then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      end if;
      if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
        near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
        -- Without it the tenant's filter starves what the index finds. pgvector has it since 0.8.
        version := (select string_to_array(extversion, '.')::integer[] from pg_extension where extname = 'vector');
        if version >= array[0, 8] then
          perform set_config('hnsw.iterative_scan', 'strict_order', true);
        end if;
      end if;
      return query execute format(
        'select federation.memory_json(k) || jsonb_build_object(''similarity'', 1 - (%1$s)) from public.agent_memories k '
        'where k.tenant_id = $2 and vector_dims(k.embedding) = %2$s and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and ($3 is null or k.scope = ''tenant'' or $3 in (k.agent_id, k.session_agent)) '
        'order by %1$s limit $4', near, dimensions)
        using embedding, who.tenant, who.agent, federation.check_rows(max_rows);
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.search_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform set_config('search_path', before, true);
end
$$;


do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.matches', members);
  perform federation.hand_out('public.find_memories', members);
  perform federation.hand_out('public.search_memories', members);
end
$$;

-- 20261201010300_memory_costs.sql
-- What every written and pulled memory pays. A function in SQL that cannot be inlined (definer, or with a path of its own) is parsed and planned
-- at each call before Postgres 18: those of every write and every page are inlined, or in PL/pgSQL, which plans once a session.

-- Without a search_path of its own, as memory_facts() has none.
create or replace function federation.memory_json(memory public.agent_memories)
returns jsonb
language sql stable
as $$
  select federation.memory_facts(memory) || jsonb_build_object(
    'content', memory.content, 'embedding', memory.embedding::text::jsonb, 'metadata', memory.metadata, 'source', memory.source)
$$;

-- Inlined as well.
create or replace function federation.is_quiet()
returns boolean
language sql stable
as $$ select coalesce(pg_catalog.current_setting('federation.quiet', true), '') operator(pg_catalog.=) 'on' $$;

create or replace function federation.taken_memory(tenant text, ids text[], owners text[])
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select k.id from unnest(ids, owners) as wanted (id, owner)
    cross join lateral (
      select m.id, m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
    where k.agent_id <> wanted.owner
    limit 1);
end
$$;

create or replace function federation.taken_places(tenant text, ids text[], owners text[])
returns integer[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(wanted.place::integer) from unnest(ids, owners) with ordinality as wanted (id, owner, place)
    cross join lateral (
      select m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
    where k.agent_id <> wanted.owner);
end
$$;

create or replace function federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
returns table (tx xid8, seq bigint, memory text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select h.tx, h.seq, jsonb_build_object(
      'id', h.id, 'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'session_id', null, 'session_agent', null, 'content', null, 'embedding', null,
      'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'scope', 'tenant', 'written_by', h.agent_id, 'content_hash', null,
      'supersedes', null, 'superseded_by', null, 'version', h.version, 'created_at', h.hidden_at, 'updated_at', h.hidden_at,
      'expires_at', null, 'deleted_at', h.hidden_at, 'seq', h.seq,
      'hlc', jsonb_build_object('ms', h.hlc_ms, 'counter', h.hlc_counter, 'writer', h.hlc_writer))::text
    from federation.hidden_memories h
    where h.tenant_id = federation.tenant_id() and (h.tx, h.seq) > (after_tx, after_seq) and h.tx < horizon
      and (h.lost_by = '' or federation.agent_id() is null or h.lost_by = federation.agent_id())
      and not exists (
        select from public.agent_memories k
        where k.tenant_id = h.tenant_id and k.id = h.id and federation.may_read(k, federation.agent_id()))
    order by h.tx, h.seq
    limit max_rows;
end
$$;

create or replace function federation.is_below_floor(at_tx xid8, at_seq bigint, horizon xid8)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from federation.pull_floors f
    where f.tenant_hash = encode(sha256(convert_to(federation.tenant_id(), 'UTF8')), 'hex')
      and (f.tx, f.seq) > (at_tx, at_seq) and f.tx < horizon);
end
$$;

-- As before; under the number of the change, so that whoever heard of it live is not told again.
create or replace function federation.note_lost()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  readers constant text[] := federation.memory_readers(new);
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer, seq)
  select old.tenant_id, old.id, r.reader, old.agent_id, new.version, new.hlc_ms, new.hlc_counter, new.hlc_writer,
    case when (old.tenant_id, old.id) = (new.tenant_id, new.id) then new.seq else nextval('federation.change_seq') end
  from unnest(federation.memory_readers(old)) r (reader)
  where (old.tenant_id, old.id) is distinct from (new.tenant_id, new.id) or ('' <> all (readers) and r.reader <> all (readers))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$$;

-- What is surely small (`weight`, whatever is escaped in it) is not printed to learn its size.
create or replace function federation.tell_reader(op text, tenant text, reader text, ids text[], memories jsonb, weight numeric)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if weight < 33000 then
    perform federation.announce('federation:' || tenant || coalesce(':agent:' || reader, ':feed'), 'memory',
      jsonb_build_object('op', op, 'memories', memories));
  else
    perform federation.announce_memories(op, tenant, reader, ids, memories);
  end if;
end
$$;

-- As before. What is gone for a reader comes with the number of the change, so that it is news. What leaves everybody's sight says who keeps it (`kept_by`): these hear of it in their inboxes, in no order with the feed. Who
-- could read a memory that becomes everybody's is told so by the feed, and not that it is gone.
create or replace function federation.tell_memories()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone constant jsonb := '{"content": null, "embedding": null, "embedding_model": null, "metadata": {}, "source": null, "content_hash": null}';
  change record;
begin
  if tg_op <> 'DELETE' then
    -- An insert that may become an update sets both triggers off, most of the time one of them for nothing.
    if not exists (select from new_rows) then
      return null;
    end if;
  end if;
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large, max(c.weight) as weight
      from (
        select 'added' as op, n.tenant_id, r.reader, n.id, n.seq, sum(federation.memory_weight(n)) over same_reader as weight,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.tell_reader(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end, change.weight);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope <> 'tenant' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large, max(c.weight) as weight
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or r.reader <> all (federation.memory_readers(o)) then 'added'
                    else 'updated' end as op,
          n.tenant_id, r.reader, n.id, n.seq, sum(federation.memory_weight(n)) over same_reader as weight,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)
        union all
        select 'deleted', o.tenant_id, r.reader, o.id, n.seq, null,
          federation.memory_facts(o) || gone || jsonb_build_object(
            'deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc', 'seq', n.seq)
          || case when r.reader = '' and o.tenant_id = n.tenant_id then jsonb_build_object('kept_by', federation.memory_readers(n)) else '{}' end
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(o)) r (reader)
        where o.deleted_at is null and (
          o.tenant_id <> n.tenant_id or ('' <> all (federation.memory_readers(n)) and r.reader <> all (federation.memory_readers(n))))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.tell_reader(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end, change.weight);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, case when n.deleted_at is null then 'memory_stored' else 'memory_deleted' end, n.id, n.scope <> 'tenant'
    from new_rows n join old_rows o using (row_id) where n.deleted_at is null or o.deleted_at is null;
  else
    for change in
      select o.tenant_id, r.reader, array_agg(o.id order by o.seq) as ids,
        case when count(*) <= 200 then jsonb_agg(federation.memory_facts(o) || gone
          || jsonb_build_object('deleted_at', now(), 'seq', nextval('federation.change_seq')) order by o.seq) end as memories
      from old_rows o cross join lateral unnest(federation.memory_readers(o)) r (reader)
      where o.deleted_at is null
      group by o.tenant_id, r.reader
    loop
      perform federation.announce_memories('deleted', change.tenant_id, nullif(change.reader, ''), change.ids, change.memories);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select o.tenant_id, o.agent_id, 'memory_deleted', o.id, o.scope <> 'tenant' from old_rows o where o.deleted_at is null;
  end if;
  return null;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
  definer text[] := array['federation_definer'];
begin
  perform federation.hand_out('federation.memory_json', members || definer);
  perform federation.hand_out('federation.is_quiet', definer);
  perform federation.hand_out('federation.taken_memory', members, true);
  perform federation.hand_out('federation.taken_places', members, true);
  perform federation.hand_out('federation.hidden_since', members, true);
  perform federation.hand_out('federation.is_below_floor', members, true);
  perform federation.hand_out('federation.note_lost', '{}', true);
  perform federation.hand_out('federation.tell_reader', definer);
  perform federation.hand_out('federation.tell_memories', '{}', true);
end
$$;

-- 20261201020000_tasks_together.sql
-- Tasks that are assigned in one call are stored, queued and announced together: a hundred of them are a few frames for everybody who
-- listens, where they were two or three hundred.

-- What an assignment says, as a task that is not stored yet; 22023 for what is none.
create or replace function federation.task_of(task jsonb, tenant text, agent text)
returns public.agent_tasks
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  known constant text[] := array['task_id', 'assigned_to', 'capability', 'description', 'priority', 'deadline', 'dependencies',
    'max_attempts', 'hop_count', 'correlation_id', 'reply_to', 'traceparent', 'expires_at'];
  meant public.agent_tasks;
begin
  if coalesce(jsonb_typeof(task), 'null') <> 'object' then
    raise exception 'task: expected an object, got %', coalesce(nullif(jsonb_typeof(task), 'null'), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_json('task', task), federation.check_text('task_id', task ->> 'task_id', 255),
    federation.check_agent('assigned_to', task ->> 'assigned_to'),
    federation.check_text('description', task ->> 'description', 1048576),
    federation.check_text('capability', task ->> 'capability', 255, false),
    federation.check_text('correlation_id', task ->> 'correlation_id', 255, false),
    federation.check_text('reply_to', task ->> 'reply_to', 255, false),
    federation.check_text('traceparent', task ->> 'traceparent', 255, false);
  -- A forgotten recipient is not "whoever is free": that is said with an explicit null, or with a capability.
  if not task ? 'assigned_to' and task ->> 'capability' is null then
    raise exception 'assigned_to: expected an agent (or null for whoever is free, or a capability), got nothing' using errcode = '22023';
  end if;
  if coalesce(task ->> 'priority', 'medium') not in ('critical', 'high', 'medium', 'low') then
    raise exception 'priority: expected critical, high, medium or low, got %', quote_literal(task ->> 'priority') using errcode = '22023';
  end if;
  if jsonb_typeof(task -> 'dependencies') not in ('array', 'null') then
    raise exception 'dependencies: expected an array of task ids, got %', jsonb_typeof(task -> 'dependencies') using errcode = '22023';
  end if;
  begin
    meant.deadline := task ->> 'deadline';
    meant.expires_at := task ->> 'expires_at';
    meant.max_attempts := coalesce(task ->> 'max_attempts', '3');
    meant.hop_count := coalesce(task ->> 'hop_count', '0');
  exception when data_exception then
    raise exception 'task: %', sqlerrm using errcode = '22023';
  end;
  if meant.max_attempts not between 1 and 1000 or meant.hop_count < 0 then
    raise exception 'expected max_attempts 1 to 1000 and hop_count 0 or more, got % and %',
      meant.max_attempts, meant.hop_count using errcode = '22023';
  end if;
  meant.tenant_id := tenant;
  meant.task_id := task ->> 'task_id';
  meant.assigned_by := agent;
  meant.assigned_to := task ->> 'assigned_to';
  meant.capability := task ->> 'capability';
  meant.description := task ->> 'description';
  meant.priority := coalesce(task ->> 'priority', 'medium');
  meant.dependencies :=
    array(select jsonb_array_elements_text(case jsonb_typeof(task -> 'dependencies') when 'array' then task -> 'dependencies' else '[]' end));
  meant.details := task - known;
  meant.status := case when task ->> 'assigned_to' is null then 'pending' else 'assigned' end;
  meant.content_hash := encode(sha256(convert_to((task - 'traceparent')::text, 'UTF8')), 'hex');
  meant.correlation_id := task ->> 'correlation_id';
  meant.reply_to := task ->> 'reply_to';
  meant.traceparent := task ->> 'traceparent';
  return meant;
end
$$;

-- A message with what it inherits from the one that it answers; 53400 where that makes the chain too long.
create or replace function federation.in_chain(message public.agent_messages)
returns public.agent_messages
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  asked record;
  max_hops integer;
begin
  if message.reply_to is not null then
    select m.hop_count, coalesce(m.correlation_id, m.id) as correlation_id into asked from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.id = message.reply_to
      and (m.to_agent is null or message.from_agent in (m.to_agent, m.from_agent));
    message.hop_count := greatest(message.hop_count, asked.hop_count + 1);
    message.correlation_id := coalesce(message.correlation_id, asked.correlation_id);
  end if;
  if message.hop_count > 0 then
    select s.max_hops into max_hops from federation.sync_settings s;
    if message.hop_count > max_hops then
      raise exception 'hop_count: % messages led to this one, the limit is %', message.hop_count, max_hops using errcode = '53400',
        hint = 'End the exchange, or have a service raise the limit: select public.limit_hops(…).';
    end if;
  end if;
  return message;
end
$$;

create or replace function federation.store_message(message public.agent_messages)
returns public.agent_messages
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stored public.agent_messages;
begin
  message := federation.in_chain(message);
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, sender_seq, instance_id,
    traceparent, expires_at)
  values (
    message.tenant_id, message.id, message.from_agent, message.to_agent, message.type, message.payload, message.reply_to,
    message.correlation_id, message.hop_count, message.sender_seq, message.instance_id, message.traceparent, message.expires_at)
  on conflict (tenant_id, id) do nothing
  returning * into stored;
  if stored.row_id is not null then
    return stored;
  end if;
  select * into stored from public.agent_messages m where m.tenant_id = message.tenant_id and m.id = message.id;
  if (stored.from_agent, stored.to_agent, stored.type, stored.payload, stored.reply_to) is distinct from
     (message.from_agent, message.to_agent, message.type, message.payload, message.reply_to) then
    raise exception 'message % exists already, with other content', quote_literal(message.id) using errcode = '23505',
      hint = 'An id stands for one message; use it again only to repeat that message.';
  end if;
  return stored;
end
$$;

-- Stores what was not stored before, each kind of row in one statement, so that each is announced at once. Answers the tasks as stored,
-- in the order of the assignments.
create or replace function federation.store_tasks(tasks jsonb, tenant text, agent text)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  meant public.agent_tasks[];
  fresh uuid[];
  other text;
  stored record;
  message public.agent_messages;
  messages public.agent_messages[] := '{}';
begin
  select array_agg(federation.task_of(e.task, tenant, agent) order by e.place) into meant
  from jsonb_array_elements(tasks) with ordinality e(task, place);

  with inserted as (
    insert into public.agent_tasks (
      tenant_id, task_id, assigned_by, assigned_to, capability, description, priority, deadline, dependencies, details, status,
      max_attempts, content_hash, hop_count, correlation_id, reply_to, traceparent, expires_at)
    select m.tenant_id, m.task_id, m.assigned_by, m.assigned_to, m.capability, m.description, m.priority, m.deadline, m.dependencies,
      m.details, m.status, m.max_attempts, m.content_hash, m.hop_count, m.correlation_id, m.reply_to, m.traceparent, m.expires_at
    from unnest(meant) with ordinality m order by m.ordinality
    on conflict (tenant_id, task_id) do nothing
    returning row_id)
  select coalesce(array_agg(i.row_id), '{}') into fresh from inserted i;

  select t.task_id into other
  from unnest(meant) with ordinality m join public.agent_tasks t on t.tenant_id = m.tenant_id and t.task_id = m.task_id
  where t.content_hash <> m.content_hash
    -- Stored before, with the trace in the hash.
    and t.content_hash <> encode(sha256(convert_to((tasks -> (m.ordinality - 1)::integer)::text, 'UTF8')), 'hex')
  order by m.ordinality limit 1;
  if found then
    raise exception 'task % exists already, with other content', quote_literal(other) using errcode = '23505',
      hint = 'A task id stands for one task; use it again only to repeat that assignment.';
  end if;

  insert into public.agent_task_queue (tenant_id, task_row, assigned_to, capability, priority)
  select t.tenant_id, t.row_id, t.assigned_to, t.capability, array_position(array['critical', 'high', 'medium', 'low'], t.priority) - 1
  from public.agent_tasks t where t.tenant_id = tenant and t.row_id = any (fresh) order by t.seq;

  for stored in
    select distinct on (t.seq) t.*, e.task as said
    from jsonb_array_elements(tasks) with ordinality e(task, place)
    join public.agent_tasks t on t.tenant_id = tenant and t.task_id = e.task ->> 'task_id'
    where t.row_id = any (fresh) and t.assigned_to is not null
    order by t.seq, e.place
  loop
    message.tenant_id := tenant;
    message.id := gen_random_uuid();
    message.from_agent := agent;
    message.to_agent := stored.assigned_to;
    message.type := 'task_assignment';
    message.payload := stored.said || jsonb_build_object('assigned_by', agent);
    message.hop_count := stored.hop_count;
    message.correlation_id := coalesce(stored.correlation_id, stored.task_id);
    message.reply_to := stored.reply_to;
    message.traceparent := stored.traceparent;
    message.expires_at := stored.expires_at;
    messages := array_append(messages, federation.in_chain(message));
  end loop;
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, traceparent, expires_at)
  select m.tenant_id, m.id, m.from_agent, m.to_agent, m.type, m.payload, m.reply_to, m.correlation_id, m.hop_count, m.traceparent,
    m.expires_at
  from unnest(messages) with ordinality m order by m.ordinality;

  return query
    select federation.task_json(t)
    from unnest(meant) with ordinality m join public.agent_tasks t on t.tenant_id = m.tenant_id and t.task_id = m.task_id
    order by m.ordinality;
end
$$;

create or replace function public.assign_task(task jsonb, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  stored jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select s.stored into stored from federation.store_tasks(jsonb_build_array(task), who.tenant, who.agent) s(stored);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return stored;
end
$$;

create or replace function public.assign_tasks(tasks jsonb, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if tasks is null or jsonb_typeof(tasks) <> 'array' or jsonb_array_length(tasks) > 1000 then
    raise exception 'tasks: expected an array of at most 1,000 tasks, got %', coalesce(jsonb_typeof(tasks), 'nothing') using errcode = '22023';
  end if;
  return query select s.stored from federation.store_tasks(tasks, who.tenant, who.agent) s(stored);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- A `task_ready` event is one task that can be claimed, or { tasks } where a statement let several be.
create or replace function federation.wake_workers()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  ready public.agent_task_queue[];
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    select array_agg(n::public.agent_task_queue) into ready from new_rows n where n.lease_until is null and n.ready_at < 'infinity';
  else
    select array_agg(n::public.agent_task_queue) into ready from new_rows n join old_rows o using (row_id)
    where n.lease_until is null and n.ready_at < 'infinity' and (o.lease_until is not null or o.ready_at is distinct from n.ready_at);
  end if;
  if ready is null then
    return null;
  end if;
  perform federation.announce(
    box.topic, 'task_ready', case when jsonb_array_length(f.frame) > 1 then jsonb_build_object('tasks', f.frame) else f.frame -> 0 end)
  from (
    select 'federation:' || q.tenant_id || coalesce(':agent:' || q.assigned_to, ':feed') as topic,
      jsonb_agg(jsonb_build_object(
        'task_id', t.task_id, 'assigned_by', t.assigned_by, 'assigned_to', q.assigned_to, 'capability', q.capability,
        'ready_in_ms', greatest(0, ceil(extract(epoch from q.ready_at - now()) * 1000))) order by q.seq) as tasks
    from unnest(ready) q join public.agent_tasks t on t.row_id = q.task_row
    group by q.tenant_id, q.assigned_to
    order by min(q.seq)) box,
    federation.frames_of(box.tasks) f(frame);
  return null;
end
$$;
comment on function federation.wake_workers() is 'Trigger: tells workers what can be claimed.';
drop trigger if exists wake on public.agent_task_queue;
create or replace trigger wake_insert after insert on public.agent_task_queue
  referencing new table as new_rows for each statement execute function federation.wake_workers();
create or replace trigger wake_update after update on public.agent_task_queue
  referencing old table as old_rows new table as new_rows for each statement execute function federation.wake_workers();

do $$
begin
  perform federation.hand_out('federation.task_of', array['federation_definer']);
  perform federation.hand_out('federation.in_chain', array['federation_definer']);
  perform federation.hand_out('federation.store_message', array['federation_definer']);
  perform federation.hand_out('federation.store_tasks', array['federation_definer']);
  perform federation.hand_out('public.assign_task', array['authenticated', 'service_role'], true);
  perform federation.hand_out('public.assign_tasks', array['authenticated', 'service_role'], true);
  perform federation.hand_out('federation.wake_workers', '{}', true);
end
$$;

-- 20261201021000_undone_deliveries.sql
-- A delivery is counted before its handler begins, and by then another process of the agent may have taken over, or this one have ended:
-- what nobody was called for is taken back, so that a message has all its deliveries before it is a dead letter.

create or replace function public.undo_deliveries(ids text[], as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  undone integer;
  more integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  with wanted as (
    select m.row_id from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.delivery_attempt > 0
    order by m.row_id for update)
  update public.agent_messages m set delivery_attempt = m.delivery_attempt - 1
  from wanted w where m.row_id = w.row_id;
  get diagnostics undone = row_count;
  update public.agent_message_failures f set delivery_attempt = f.delivery_attempt - 1
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = any (ids) and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
    and f.delivery_attempt > 0;
  get diagnostics more = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return undone + more;
end
$$;
comment on function public.undo_deliveries is 'Takes back deliveries to the acting agent that were counted and did not take place; how many.';

do $$
begin
  perform federation.hand_out('public.undo_deliveries', array['authenticated', 'service_role'], true);
end
$$;

-- 20261201040000_messages_by_id.sql
-- Messages that a call names are looked up one by one, by a plan that is made once: that a call may name few messages or many made each
-- plan its statements anew, which was half of what it cost.

-- As before.
create or replace function public.mark_messages(
  ids text[], state text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  who record;
  changed integer;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if state is null or state not in ('delivered', 'handled') then
    raise exception 'state: expected delivered or handled, got %', coalesce(quote_literal(state), 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  -- In the order of the rows, so that two who mark the same messages wait for each other instead of deadlocking.
  with named as (
    select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
      select a.row_id, a.to_agent from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
    where m.to_agent = who.agent
    order by m.row_id),
  wanted as (
    select m.row_id from named n, lateral (
      select a.row_id from public.agent_messages a
      where a.row_id = n.row_id and case state when 'delivered' then a.delivered_at is null else a.handled_at is null end
      for update) m)
  update public.agent_messages m set
    delivered_at = coalesce(m.delivered_at, now()),
    handled_at = case state when 'handled' then now() else m.handled_at end
  from wanted w where m.row_id = w.row_id;
  get diagnostics changed = row_count;
  if state = 'handled' and exists (
    select from public.agent_message_failures f where f.tenant_id = who.tenant and f.agent_id = who.agent)
  then
    for message in
      with named as (
        select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
          select a.row_id from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
        where exists (select from public.agent_message_failures f where f.message_row = m.row_id and f.agent_id = who.agent)
        order by m.row_id)
      select m.* from named n, lateral (select a.* from public.agent_messages a where a.row_id = n.row_id for update) m
    loop
      delete from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
      continue when not found; -- another process of the agent was faster
      perform federation.tell_broadcast(message);
      changed := changed + 1;
    end loop;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$$;

-- As before.
create or replace function public.deliver_messages(
  ids text[], max_deliveries integer default 5, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_deliveries is null or max_deliveries < 1 then
    raise exception 'max_deliveries: expected 1 or more, got %', coalesce(max_deliveries::text, 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  return query
    with named as (
      select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
        select a.row_id, a.to_agent from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
      where m.to_agent = who.agent
      order by m.row_id),
    wanted as (
      select m.row_id from named n, lateral (
        select a.row_id from public.agent_messages a
        where a.row_id = n.row_id and a.handled_at is null and a.dead_at is null and coalesce(a.expires_at > now(), true)
        for update) m)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  if exists (select from public.agent_message_failures f where f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null) then
    return query
      update public.agent_message_failures f set
        delivery_attempt = least(f.delivery_attempt + 1, max_deliveries),
        dead_at = case when f.delivery_attempt >= max_deliveries then now() end
      from (select distinct i.id from unnest(ids) i(id)) i, lateral (
        select a.row_id, a.id, a.expires_at from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
      where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null and coalesce(m.expires_at > now(), true)
      returning jsonb_build_object('id', m.id, 'delivery_attempt', f.delivery_attempt, 'dead', f.dead_at is not null);
  end if;
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from (select distinct i.id from unnest(ids) i(id)) i, lateral (
      select a.* from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
    where m.handled_at is null and m.dead_at is null and m.expires_at <= now()
      and (m.to_agent = who.agent or exists (
        select from public.agent_message_failures f
        where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before; the one message that most statements store goes straight to the announcement.
create or replace function federation.tell_messages()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  box record;
begin
  for box in
    with stored as materialized (
      select n.tenant_id, n.to_agent, n.id, n.seq, federation.message_json(n) as message
      from new_rows n where coalesce(n.expires_at > clock_timestamp(), true))
    select 'federation:' || s.tenant_id || coalesce(':agent:' || s.to_agent, ':feed') as topic,
      jsonb_agg(case when octet_length(s.message::text) > 200000 then jsonb_build_object('id', s.id) else s.message end
        order by s.seq) as messages
    from stored s group by s.tenant_id, s.to_agent
  loop
    perform federation.announce(box.topic, 'message', case
      when jsonb_array_length(f.frame) > 1 then jsonb_build_object('messages', f.frame)
      when f.frame -> 0 ? 'from_agent' then jsonb_build_object('message', f.frame -> 0)
      else f.frame -> 0 end)
    from (
      select box.messages where jsonb_array_length(box.messages) = 1
      union all select f.frame from federation.frames_of(box.messages) f(frame) where jsonb_array_length(box.messages) > 1) f(frame);
  end loop;
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  select n.tenant_id, n.from_agent, 'message_stored', n.id, n.to_agent from new_rows n order by n.seq;
  return null;
end
$$;

-- 20261201050000_schema_version.sql
-- breaking
-- Hubs take back with undo_deliveries() what they counted and did not deliver, and stores of this machine read whose a session is from
-- session_agent: a database of schema 6 knows neither.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 7 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';

-- 20261201060000_identical_at_once.sql
-- As before; of two calls that come at the same moment with one content the second waits for the first and finds what it stored.
create or replace function federation.identical_memories(memories jsonb, tenant text, agent text)
returns text[]
language plpgsql volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  -- In one order, so that two calls wait for each other instead of deadlocking. The statement behind it sees what was committed meanwhile.
  perform pg_advisory_xact_lock(l.key) from (
    select distinct hashtextextended(jsonb_build_array('federation.identical', tenant, coalesce(m ->> 'agent_id', identical_memories.agent),
      coalesce(m ->> 'scope', 'tenant'), m ->> 'content')::text, 0) as key
    from jsonb_array_elements(memories) m where m ->> 'skip_identical' = 'true' order by key) l;
  return (
    select array_agg(case when g.skips then coalesce(k.id, nullif(g.first_id, g.id)) end order by g.place)
    from (
      select m.ordinality as place, m.value ->> 'id' as id, coalesce(m.value ->> 'skip_identical', '') = 'true' as skips,
        coalesce(m.value ->> 'agent_id', identical_memories.agent) as owner, coalesce(m.value ->> 'scope', 'tenant') as scope,
        encode(sha256(convert_to(m.value ->> 'content', 'UTF8')), 'hex') as hash,
        first_value(m.value ->> 'id') over (
          partition by coalesce(m.value ->> 'agent_id', identical_memories.agent), coalesce(m.value ->> 'scope', 'tenant'), m.value ->> 'content'
          order by m.ordinality) as first_id
      from jsonb_array_elements(memories) with ordinality m) g
    left join lateral (
      select m.id from public.agent_memories m
      where g.skips and m.tenant_id = tenant and m.agent_id = g.owner and m.scope = g.scope and m.content_hash = g.hash
        and m.deleted_at is null and m.superseded_by is null and (m.expires_at is null or m.expires_at > now())
      order by m.id = g.id desc, m.id limit 1) k on true);
end
$$;

-- 20261202010000_freed_locks.sql
-- A lock whose holder died frees when its time is over, and nobody was told. The next sweep tells, as whoever lets a lock go does.
comment on table public.agent_locks is 'Locks that are held, or have run out and were not swept yet.';

create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
  forgotten integer;
  lock public.agent_locks;
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep as u (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at
  returning u.messages_at into looked_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  for lock in
    delete from public.agent_locks l where l.row_id in (
      select d.row_id from public.agent_locks d where d.tenant_id = tenant and d.expires_at < clock_timestamp()
      order by d.expires_at limit 500 for update skip locked)
    returning l.*
  loop
    perform federation.announce('federation:' || tenant || ':feed', 'lock', jsonb_build_object(
      'name', lock.name, 'state', 'freed', 'holder', lock.holder, 'fence', lock.fence));
  end loop;
  if looked_at < clock_timestamp() - interval '1 minute' then
    removed := federation.remove_old_messages(tenant, 1000);
    forgotten := federation.remove_old_events(tenant, 1000);
    if removed < 1000 and forgotten < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed, 'events', forgotten);
  end if;
  perform federation.tell_sessions(tenant);
  return done;
end
$$;

do $$
begin
  perform federation.hand_out('federation.sweep', array['federation_definer']);
end
$$;

commit;
