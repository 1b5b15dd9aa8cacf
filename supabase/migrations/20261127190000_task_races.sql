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
