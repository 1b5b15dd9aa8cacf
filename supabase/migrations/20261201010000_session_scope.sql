-- Scope `session`: a memory is its own agent's and that of the agent whose session it names, as the sessions stood when it was last
-- written. Nobody can come by it afterwards: not by opening a session under that name, nor by taking over one that was removed.
do $$
begin
  if exists (select from pg_attribute where attrelid = 'public.agent_memories'::regclass and attname = 'session_agent' and not attisdropped) then
    return;
  end if;
  alter table public.agent_memories add column session_agent text;
  -- What was of that scope before was the whole tenant's: replicas of the others let go of it.
  insert into federation.hidden_memories (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer)
  select k.tenant_id, k.id, '', k.agent_id, k.version, k.hlc_ms, k.hlc_counter, k.hlc_writer
  from public.agent_memories k where k.scope = 'session'
  on conflict do nothing;
end
$$;
comment on column public.agent_memories.session_agent is 'Scope session: whose session it is, where it is another agent''s. Set by a trigger.';
create index if not exists agent_memories_session_agent on public.agent_memories (tenant_id, session_agent) where session_agent is not null;

-- As before; nobody's write is also that the session's agent was removed.
create or replace function federation.is_no_write(old public.agent_memories, new public.agent_memories)
returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if old.deleted_at is null and new.deleted_at is not null then
    return coalesce(old.expires_at <= now(), false);
  end if;
  return (new.superseded_by, new.session_agent) is distinct from (old.superseded_by, old.session_agent)
    and (new.agent_id, new.session_id, new.content, new.embedding::text, new.embedding_model, new.metadata, new.source, new.scope,
         new.supersedes, new.valid_from, new.valid_to, new.expires_at, new.deleted_at) is not distinct from
        (old.agent_id, old.session_id, old.content, old.embedding::text, old.embedding_model, old.metadata, old.source, old.scope,
         old.supersedes, old.valid_from, old.valid_to, old.expires_at, old.deleted_at);
end
$$;

-- As before; and whose the session is, which no writer decides either.
create or replace function federation.prepare_memory()
returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  now_ms bigint;
begin
  new.tx := pg_current_xact_id();
  new.seq := nextval('federation.change_seq');
  new.updated_at := now();
  if tg_op = 'INSERT' then
    new.version := 1;
    new.written_by := coalesce(new.written_by, federation.agent_id(), new.agent_id);
    if new.hlc_ms = 0 or new.hlc_ms > federation.latest_clock_ms() then
      new.hlc_ms := federation.latest_clock_ms() - 60000;
      new.hlc_counter := 0;
    end if;
    if new.hlc_writer = '' then
      new.hlc_writer := new.written_by;
    end if;
  else
    new.version := old.version + 1;
    new.row_id := old.row_id;
    -- What comes back after its deletion is a new memory under an old id.
    new.created_at := case when old.deleted_at is not null and new.deleted_at is null then new.created_at else old.created_at end;
    new.written_by := coalesce(federation.agent_id(), new.written_by);
    if new.hlc_ms > federation.latest_clock_ms()
      or not federation.is_later(new.hlc_ms, new.hlc_counter, new.hlc_writer, old.hlc_ms, old.hlc_counter, old.hlc_writer) then
      new.hlc_ms := old.hlc_ms;
      new.hlc_counter := old.hlc_counter;
      if not federation.is_no_write(old, new) then
        now_ms := federation.latest_clock_ms() - 60000;
        if now_ms > old.hlc_ms or old.hlc_counter = 2147483647 then
          new.hlc_ms := greatest(now_ms, old.hlc_ms + 1);
          new.hlc_counter := 0;
        else
          new.hlc_counter := old.hlc_counter + 1;
        end if;
        new.hlc_writer := case when new.hlc_writer = old.hlc_writer then coalesce(new.written_by, old.hlc_writer) else new.hlc_writer end;
      else
        new.hlc_writer := old.hlc_writer;
      end if;
    end if;
  end if;
  if new.scope <> 'session' then
    new.session_agent := null;
  elsif tg_op = 'INSERT' or (new.deleted_at is null and not federation.is_no_write(old, new)) then
    new.session_agent := (
      select s.agent_id from public.agent_sessions s
      where s.tenant_id = new.tenant_id and s.session_id = new.session_id and s.agent_id <> new.agent_id);
  elsif new.session_agent is not null then
    new.session_agent := old.session_agent;
  end if;
  if new.deleted_at is not null then
    new.content := null;
    new.embedding := null;
    new.embedding_model := null;
    new.metadata := '{}';
    new.source := null;
    new.content_hash := null;
  else
    new.content_hash := encode(sha256(convert_to(new.content, 'UTF8')), 'hex');
  end if;
  return new;
end
$$;
-- As before, and `session_agent`.
create or replace function federation.memory_facts(memory public.agent_memories)
returns jsonb
language sql stable
as $$
  select jsonb_build_object(
    'id', memory.id, 'tenant_id', memory.tenant_id, 'agent_id', memory.agent_id, 'session_id', memory.session_id,
    'session_agent', memory.session_agent, 'embedding_model', memory.embedding_model, 'scope', memory.scope, 'written_by', memory.written_by,
    'content_hash', memory.content_hash, 'supersedes', memory.supersedes, 'superseded_by', memory.superseded_by,
    'version', memory.version, 'created_at', memory.created_at, 'updated_at', memory.updated_at,
    'expires_at', memory.expires_at, 'deleted_at', memory.deleted_at, 'seq', memory.seq,
    'hlc', jsonb_build_object('ms', memory.hlc_ms, 'counter', memory.hlc_counter, 'writer', memory.hlc_writer))
$$;

-- Without a search_path of their own, so that they are inlined. `agent` null: a service that names nobody.
create or replace function federation.may_read(memory public.agent_memories, agent text)
returns boolean
language sql immutable parallel safe
as $$ select agent is null or memory.scope = 'tenant' or memory.agent_id = agent or memory.session_agent = agent $$;
comment on function federation.may_read(public.agent_memories, text) is 'Whether a memory''s scope admits an agent of its tenant.';

-- Who hears of a memory: '' is everybody.
create or replace function federation.memory_readers(memory public.agent_memories)
returns text[]
language sql immutable parallel safe
as $$
  select case
    when memory.scope = 'tenant' then array['']
    when memory.session_agent is null then array[memory.agent_id]
    else array[memory.agent_id, memory.session_agent]
  end
$$;

drop policy if exists "members read, but not what another agent keeps to itself" on public.agent_memories;
drop policy if exists "members read what its scope admits them to" on public.agent_memories;
create policy "members read what its scope admits them to" on public.agent_memories for select to authenticated
  using (tenant_id = (select federation.tenant_id())
    and (scope = 'tenant' or agent_id = (select federation.agent_id()) or session_agent = (select federation.agent_id())));

-- As before, to each who may read it: the feed, or the inboxes of one or two agents.
create or replace function federation.tell_memories()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  gone constant jsonb := '{"content": null, "embedding": null, "embedding_model": null, "metadata": {}, "source": null, "content_hash": null}';
  change record;
begin
  if tg_op <> 'DELETE' then
    -- An insert that may become an update sets both triggers off, most of the time one of them for nothing.
    if not exists (select from new_rows) then
      return null;
    end if;
  end if;
  if federation.is_quiet() then
    return null;
  end if;
  if tg_op = 'INSERT' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select 'added' as op, n.tenant_id, r.reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope <> 'tenant' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or r.reader <> all (federation.memory_readers(o)) then 'added'
                    else 'updated' end as op,
          n.tenant_id, r.reader, n.id, n.seq,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)
        union all
        select 'deleted', o.tenant_id, r.reader, o.id, n.seq,
          federation.memory_facts(o) || gone || jsonb_build_object('deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc')
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(o)) r (reader)
        where o.deleted_at is null and (o.tenant_id <> n.tenant_id or r.reader <> all (federation.memory_readers(n)))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.announce_memories(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, case when n.deleted_at is null then 'memory_stored' else 'memory_deleted' end, n.id, n.scope <> 'tenant'
    from new_rows n join old_rows o using (row_id) where n.deleted_at is null or o.deleted_at is null;
  else
    for change in
      select o.tenant_id, r.reader, array_agg(o.id order by o.seq) as ids,
        case when count(*) <= 200 then jsonb_agg(federation.memory_facts(o) || gone
          || jsonb_build_object('deleted_at', now(), 'seq', nextval('federation.change_seq')) order by o.seq) end as memories
      from old_rows o cross join lateral unnest(federation.memory_readers(o)) r (reader)
      where o.deleted_at is null
      group by o.tenant_id, r.reader
    loop
      perform federation.announce_memories('deleted', change.tenant_id, nullif(change.reader, ''), change.ids, change.memories);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select o.tenant_id, o.agent_id, 'memory_deleted', o.id, o.scope <> 'tenant' from old_rows o where o.deleted_at is null;
  end if;
  return null;
end
$$;
-- Row by row, and only where somebody may lose a memory, so that it costs nothing elsewhere.
create or replace function federation.note_lost()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  readers constant text[] := federation.memory_readers(new);
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer)
  select old.tenant_id, old.id, r.reader, old.agent_id, new.version, new.hlc_ms, new.hlc_counter, new.hlc_writer
  from unnest(federation.memory_readers(old)) r (reader)
  where (old.tenant_id, old.id) is distinct from (new.tenant_id, new.id) or ('' <> all (readers) and r.reader <> all (readers))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$$;
comment on function federation.note_lost() is 'Trigger: notes whom a change takes a memory from.';
drop trigger if exists note_hidden on public.agent_memories;
drop function if exists federation.note_hidden();
create or replace trigger note_lost after update on public.agent_memories
  for each row when ((old.tenant_id, old.id, old.agent_id, old.scope, old.session_agent) is distinct from
    (new.tenant_id, new.id, new.agent_id, new.scope, new.session_agent))
  execute function federation.note_lost();

drop function if exists federation.memory_reader(public.agent_memories);

-- As before; and other agents' memories are in no session of a removed agent.
create or replace function federation.remove(tenant text, agent text)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  counts jsonb := '{}';
  removed integer;
  ids text[];
begin
  perform set_config('federation.quiet', 'on', true);
  ids := array(
    select k.id from public.agent_memories k where k.tenant_id = tenant and k.agent_id = agent
    union all
    select m.id from public.agent_messages m where m.tenant_id = tenant and agent in (m.from_agent, m.to_agent));
  delete from public.agent_task_queue q using public.agent_tasks t
  where q.tenant_id = tenant and t.row_id = q.task_row and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_task_queue', removed);
  delete from public.agent_tasks t
  where t.tenant_id = tenant and (agent is null or agent in (t.assigned_by, t.assigned_to, t.lease_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_tasks', removed);
  delete from public.agent_locks l where l.tenant_id = tenant and (agent is null or l.holder = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_locks', removed);
  delete from public.agent_message_failures f where f.tenant_id = tenant and (agent is null or f.agent_id = agent);
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  update public.agent_memories k set session_agent = null where k.tenant_id = tenant and k.session_agent = agent;
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.is_no_write', members);
  perform federation.hand_out('federation.prepare_memory', '{}');
  perform federation.hand_out('federation.memory_facts', members);
  perform federation.hand_out('federation.may_read', members);
  perform federation.hand_out('federation.memory_readers', array['federation_definer']);
  perform federation.hand_out('federation.tell_memories', '{}', true);
  perform federation.hand_out('federation.note_lost', '{}', true);
  perform federation.hand_out('federation.remove', array['federation_definer']);
end
$$;
