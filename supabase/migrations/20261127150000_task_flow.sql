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
