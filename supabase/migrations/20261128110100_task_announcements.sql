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
