-- The three channels of an agent, all private: the room (members write and read), the feed and the inbox (members read,
-- only the database writes). And what the tables announce on feed and inbox, in the transaction that made the change.

do $$
begin
  if to_regclass('realtime.messages') is null or to_regprocedure('realtime.send(jsonb,text,text,boolean)') is null then
    raise exception 'realtime.messages or realtime.send is missing: this needs the schema that Supabase Realtime brings'
      using hint = 'Open Realtime once in the dashboard, or update a self-hosted Realtime, then run this again.';
  end if;
end
$$;

create or replace function federation.room_topic() returns text
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 'federation:' || federation.tenant_id() $$;
create or replace function federation.feed_topic() returns text
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 'federation:' || federation.tenant_id() || ':feed' $$;
create or replace function federation.inbox_topic() returns text
language sql stable parallel safe set search_path = pg_catalog, pg_temp
as $$ select 'federation:' || federation.tenant_id() || ':agent:' || federation.agent_id() $$;
do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.room_topic', members);
  perform federation.hand_out('federation.feed_topic', members);
  perform federation.hand_out('federation.inbox_topic', members);
end
$$;

-- The policies look at the row's topic, not at realtime.topic(), so that they also hold where rows are read back. The
-- restrictive ones keep a project's own wide policies ("authenticated may everything") away from our topics.
-- On a Supabase project `postgres` may make policies on this table without owning it, and nothing else.
do $$
declare
  policy record;
begin
  for policy in
    select * from (values
      ('federation members read their room, feed and inbox', 'permissive', 'select', 'authenticated', 'using',
       $p$(extension in ('broadcast', 'presence') and topic = (select federation.room_topic()))
          or (extension = 'broadcast' and topic in ((select federation.feed_topic()), (select federation.inbox_topic())))$p$),
      ('federation members write their room', 'permissive', 'insert', 'authenticated', 'with check',
       $p$extension in ('broadcast', 'presence') and topic = (select federation.room_topic())$p$),
      ('federation topics are read by their members only', 'restrictive', 'select', 'authenticated', 'using',
       $p$topic not like 'federation:%' or coalesce(topic in
          ((select federation.room_topic()), (select federation.feed_topic()), (select federation.inbox_topic())), false)$p$),
      ('federation feeds and inboxes are written by the database only', 'restrictive', 'insert', 'authenticated', 'with check',
       $p$topic not like 'federation:%' or coalesce(topic = (select federation.room_topic()), false)$p$),
      ('federation topics are never changed', 'restrictive', 'update', 'authenticated', 'using',
       $p$topic not like 'federation:%'$p$),
      ('federation topics are never removed', 'restrictive', 'delete', 'authenticated', 'using',
       $p$topic not like 'federation:%'$p$),
      ('federation topics are nothing for anon', 'restrictive', 'all', 'anon', 'using',
       $p$topic not like 'federation:%'$p$)
    ) as wanted (name, kind, command, role, clause, condition)
  loop
    if not exists (select from pg_policies where schemaname = 'realtime' and tablename = 'messages' and policyname = policy.name) then
      begin
        execute format('create policy %I on realtime.messages as %s for %s to %I %s (%s)',
          policy.name, policy.kind, policy.command, policy.role, policy.clause, policy.condition);
      exception when insufficient_privilege then
        raise exception 'no policy can be made on realtime.messages: %', sqlerrm using errcode = '42501',
          hint = 'Paste supabase/paste-into-sql-editor.sql into the SQL editor of the dashboard, which runs as postgres.';
      end;
    end if;
  end loop;
end
$$;

-- The only door to realtime.send. It belongs to `postgres`, who may write realtime.messages; its one caller is the role of
-- the definer functions.
create or replace function federation.announce(topic text, event text, payload jsonb)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if topic not like 'federation:%' then
    raise exception 'announce: expected a topic that begins with federation:, got %', topic using errcode = '22023';
  end if;
  perform realtime.send(payload, event, topic, true);
end
$$;
comment on function federation.announce(text, text, jsonb) is 'Broadcasts to feed or inbox once the transaction commits.';

-- delete_agent() and delete_tenant() switch announcements and events off for what they remove.
create or replace function federation.is_quiet()
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select coalesce(current_setting('federation.quiet', true), '') = 'on' $$;

create or replace function federation.tell_session()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' or (old.ended_at is not null and new.ended_at is null) then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_opened', new.session_id);
  elsif old.ended_at is null and new.ended_at is not null then
    insert into public.agent_events (tenant_id, agent_id, kind, subject)
    values (new.tenant_id, new.agent_id, 'session_closed', new.session_id);
  elsif (old.status, old.instance_id, old.end_reason) is not distinct from (new.status, new.instance_id, new.end_reason) then
    return null; -- a heartbeat is nobody's news
  end if;
  perform federation.announce('federation:' || new.tenant_id || ':feed', 'session', jsonb_build_object(
    'session_id', new.session_id, 'agent_id', new.agent_id, 'instance_id', new.instance_id, 'status', new.status,
    'ended_at', new.ended_at, 'end_reason', new.end_reason));
  return null;
end
$$;
create or replace trigger tell after insert or update on public.agent_sessions
  for each row execute function federation.tell_session();

create or replace function federation.tell_message()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  payload jsonb := jsonb_build_object('message', federation.message_json(new));
begin
  if octet_length(payload::text) > 200000 then
    payload := jsonb_build_object('id', new.id);
  end if;
  perform federation.announce(
    'federation:' || new.tenant_id || coalesce(':agent:' || new.to_agent, ':feed'), 'message', payload);
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  values (new.tenant_id, new.from_agent, 'message_stored', new.id, new.to_agent);
  return null;
end
$$;
create or replace trigger tell after insert on public.agent_messages
  for each row execute function federation.tell_message();

create or replace function federation.tell_task()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if tg_op = 'UPDATE' and (old.status, old.assigned_to) is not distinct from (new.status, new.assigned_to) then
    return null;
  end if;
  perform federation.announce('federation:' || new.tenant_id || ':feed', 'task', jsonb_build_object(
    'task_id', new.task_id, 'status', new.status, 'assigned_to', new.assigned_to, 'assigned_by', new.assigned_by));
  if tg_op = 'INSERT' then
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    values (new.tenant_id, new.assigned_by, 'task_assigned', new.task_id, new.assigned_to);
  elsif old.status is distinct from new.status and new.status in ('completed', 'failed') then
    insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
    values (new.tenant_id, new.assigned_to, 'task_' || new.status, new.task_id, new.assigned_by);
  end if;
  return null;
end
$$;
create or replace trigger tell after insert or update on public.agent_tasks
  for each row execute function federation.tell_task();

-- One announcement per statement, tenant and reader: with the memories, or, past 200 kB, with their ids, 500 at a time.
create or replace function federation.announce_memories(op text, tenant text, reader text, ids text[], memories jsonb)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  topic text := 'federation:' || tenant || coalesce(':agent:' || reader, ':feed');
begin
  if octet_length(memories::text) <= 199900 then -- null where they are too many to have been put together
    perform federation.announce(topic, 'memory', jsonb_build_object('op', op, 'memories', memories));
    return;
  end if;
  for part in 0 .. (cardinality(ids) - 1) / 500 loop
    perform federation.announce(topic, 'memory', jsonb_build_object(
      'op', op, 'ids', to_jsonb(ids[part * 500 + 1 : part * 500 + 500])));
  end loop;
end
$$;

-- Statement level. A memory scoped to an agent is for that agent's inbox; what leaves a reader's sight is deleted for it.
-- `weight` estimates the JSON text, so that a statement of 10,000 memories is not built into one document to find it too large.
create or replace function federation.memory_weight(memory public.agent_memories)
returns bigint
language sql stable
as $$
  select 500 + coalesce(pg_catalog.octet_length(memory.content), 0) + pg_catalog.octet_length(memory.metadata::text)
    + coalesce(pg_catalog.octet_length(memory.source::text), 0) + 3 * coalesce(pg_catalog.pg_column_size(memory.embedding), 0)
$$;
create or replace function federation.memory_reader(memory public.agent_memories)
returns text
language sql stable
as $$ select case memory.scope when 'agent' then memory.agent_id end $$;

create or replace function federation.tell_memories()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone constant jsonb := '{"content": null, "embedding": null, "embedding_model": null, "metadata": {}, "source": null, "content_hash": null}';
  change record;
begin
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select 'added' as op, n.tenant_id, federation.memory_reader(n) as reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, federation.memory_reader(n))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, change.reader, change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope = 'agent' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or federation.memory_reader(o) is distinct from federation.memory_reader(n) then 'added'
                    else 'updated' end as op,
          n.tenant_id, federation.memory_reader(n) as reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, federation.memory_reader(n))
        union all
        select 'deleted', o.tenant_id, federation.memory_reader(o), o.id, n.seq,
          federation.memory_facts(o) || gone || jsonb_build_object('deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc')
        from new_rows n join old_rows o using (row_id)
        where o.deleted_at is null and n.deleted_at is null
          and (federation.memory_reader(o), o.tenant_id) is distinct from (federation.memory_reader(n), n.tenant_id)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, change.reader, change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, case when n.deleted_at is null then 'memory_stored' else 'memory_deleted' end, n.id, n.scope = 'agent'
    from new_rows n join old_rows o using (row_id) where n.deleted_at is null or o.deleted_at is null;
  else
    for change in
      select o.tenant_id, federation.memory_reader(o) as reader, array_agg(o.id order by o.seq) as ids,
        case when count(*) <= 200 then jsonb_agg(federation.memory_facts(o) || gone
          || jsonb_build_object('deleted_at', now(), 'seq', nextval('federation.change_seq')) order by o.seq) end as memories
      from old_rows o where o.deleted_at is null
      group by o.tenant_id, federation.memory_reader(o)
    loop
      perform federation.announce_memories('deleted', change.tenant_id, change.reader, change.ids, change.memories);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select o.tenant_id, o.agent_id, 'memory_deleted', o.id, o.scope = 'agent' from old_rows o where o.deleted_at is null;
  end if;
  return null;
end
$$;
create or replace trigger tell_insert after insert on public.agent_memories
  referencing new table as new_rows for each statement execute function federation.tell_memories();
create or replace trigger tell_update after update on public.agent_memories
  referencing old table as old_rows new table as new_rows for each statement execute function federation.tell_memories();
create or replace trigger tell_delete after delete on public.agent_memories
  referencing old table as old_rows for each statement execute function federation.tell_memories();

do $$
declare
  definer text[] := array['federation_definer'];
begin
  perform federation.hand_out('federation.announce', definer);
  perform federation.hand_out('federation.is_quiet', definer);
  perform federation.hand_out('federation.announce_memories', definer);
  perform federation.hand_out('federation.memory_weight', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('federation.memory_reader', definer);
  perform federation.hand_out('federation.tell_session', '{}', true);
  perform federation.hand_out('federation.tell_message', '{}', true);
  perform federation.hand_out('federation.tell_task', '{}', true);
  perform federation.hand_out('federation.tell_memories', '{}', true);
end
$$;
