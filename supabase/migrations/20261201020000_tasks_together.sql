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
