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
