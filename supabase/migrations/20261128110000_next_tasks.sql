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
