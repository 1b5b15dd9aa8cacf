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
