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
