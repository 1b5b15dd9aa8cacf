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
