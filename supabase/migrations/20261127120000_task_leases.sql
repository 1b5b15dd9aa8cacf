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
