-- What every written and pulled memory pays. A function in SQL that cannot be inlined (definer, or with a path of its own) is parsed and planned
-- at each call before Postgres 18: those of every write and every page are inlined, or in PL/pgSQL, which plans once a session.

-- Without a search_path of its own, as memory_facts() has none.
create or replace function federation.memory_json(memory public.agent_memories)
returns jsonb
language sql stable
as $$
  select federation.memory_facts(memory) || jsonb_build_object(
    'content', memory.content, 'embedding', memory.embedding::text::jsonb, 'metadata', memory.metadata, 'source', memory.source)
$$;

-- Inlined as well.
create or replace function federation.is_quiet()
returns boolean
language sql stable
as $$ select coalesce(pg_catalog.current_setting('federation.quiet', true), '') operator(pg_catalog.=) 'on' $$;

create or replace function federation.taken_memory(tenant text, ids text[], owners text[])
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select k.id from unnest(ids, owners) as wanted (id, owner)
    cross join lateral (
      select m.id, m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
    where k.agent_id <> wanted.owner
    limit 1);
end
$$;

create or replace function federation.taken_places(tenant text, ids text[], owners text[])
returns integer[]
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return (
    select array_agg(wanted.place::integer) from unnest(ids, owners) with ordinality as wanted (id, owner, place)
    cross join lateral (
      select m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
    where k.agent_id <> wanted.owner);
end
$$;

create or replace function federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
returns table (tx xid8, seq bigint, memory text)
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return query
    select h.tx, h.seq, jsonb_build_object(
      'id', h.id, 'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'session_id', null, 'session_agent', null, 'content', null, 'embedding', null,
      'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'scope', 'tenant', 'written_by', h.agent_id, 'content_hash', null,
      'supersedes', null, 'superseded_by', null, 'version', h.version, 'created_at', h.hidden_at, 'updated_at', h.hidden_at,
      'expires_at', null, 'deleted_at', h.hidden_at, 'seq', h.seq,
      'hlc', jsonb_build_object('ms', h.hlc_ms, 'counter', h.hlc_counter, 'writer', h.hlc_writer))::text
    from federation.hidden_memories h
    where h.tenant_id = federation.tenant_id() and (h.tx, h.seq) > (after_tx, after_seq) and h.tx < horizon
      and (h.lost_by = '' or federation.agent_id() is null or h.lost_by = federation.agent_id())
      and not exists (
        select from public.agent_memories k
        where k.tenant_id = h.tenant_id and k.id = h.id and federation.may_read(k, federation.agent_id()))
    order by h.tx, h.seq
    limit max_rows;
end
$$;

create or replace function federation.is_below_floor(at_tx xid8, at_seq bigint, horizon xid8)
returns boolean
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return exists (
    select from federation.pull_floors f
    where f.tenant_hash = encode(sha256(convert_to(federation.tenant_id(), 'UTF8')), 'hex')
      and (f.tx, f.seq) > (at_tx, at_seq) and f.tx < horizon);
end
$$;

-- As before; under the number of the change, so that whoever heard of it live is not told again.
create or replace function federation.note_lost()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  readers constant text[] := federation.memory_readers(new);
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer, seq)
  select old.tenant_id, old.id, r.reader, old.agent_id, new.version, new.hlc_ms, new.hlc_counter, new.hlc_writer,
    case when (old.tenant_id, old.id) = (new.tenant_id, new.id) then new.seq else nextval('federation.change_seq') end
  from unnest(federation.memory_readers(old)) r (reader)
  where (old.tenant_id, old.id) is distinct from (new.tenant_id, new.id) or ('' <> all (readers) and r.reader <> all (readers))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$$;

-- What is surely small (`weight`, whatever is escaped in it) is not printed to learn its size.
create or replace function federation.tell_reader(op text, tenant text, reader text, ids text[], memories jsonb, weight numeric)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if weight < 33000 then
    perform federation.announce('federation:' || tenant || coalesce(':agent:' || reader, ':feed'), 'memory',
      jsonb_build_object('op', op, 'memories', memories));
  else
    perform federation.announce_memories(op, tenant, reader, ids, memories);
  end if;
end
$$;

-- As before. What is gone for a reader comes with the number of the change, so that it is news. What leaves everybody's sight says who keeps it (`kept_by`): these hear of it in their inboxes, in no order with the feed. Who
-- could read a memory that becomes everybody's is told so by the feed, and not that it is gone.
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
        bool_or(c.memory is null) as is_large, max(c.weight) as weight
      from (
        select 'added' as op, n.tenant_id, r.reader, n.id, n.seq, sum(federation.memory_weight(n)) over same_reader as weight,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.tell_reader(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end, change.weight);
    end loop;
    insert into public.agent_events (tenant_id, agent_id, kind, subject, private)
    select n.tenant_id, n.agent_id, 'memory_stored', n.id, n.scope <> 'tenant' from new_rows n where n.deleted_at is null;
  elsif tg_op = 'UPDATE' then
    for change in
      select c.op, c.tenant_id, c.reader, array_agg(c.id order by c.seq) as ids, jsonb_agg(c.memory order by c.seq) as memories,
        bool_or(c.memory is null) as is_large, max(c.weight) as weight
      from (
        select case when n.deleted_at is not null then 'deleted'
                    when o.deleted_at is not null or r.reader <> all (federation.memory_readers(o)) then 'added'
                    else 'updated' end as op,
          n.tenant_id, r.reader, n.id, n.seq, sum(federation.memory_weight(n)) over same_reader as weight,
          case when sum(federation.memory_weight(n)) over same_reader < 250000 then federation.memory_json(n) end as memory
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(n)) r (reader)
        where n.deleted_at is null or o.deleted_at is null
        window same_reader as (partition by n.tenant_id, r.reader)
        union all
        select 'deleted', o.tenant_id, r.reader, o.id, n.seq, null,
          federation.memory_facts(o) || gone || jsonb_build_object(
            'deleted_at', n.updated_at, 'hlc', federation.memory_facts(n) -> 'hlc', 'seq', n.seq)
          || case when r.reader = '' and o.tenant_id = n.tenant_id then jsonb_build_object('kept_by', federation.memory_readers(n)) else '{}' end
        from new_rows n join old_rows o using (row_id) cross join lateral unnest(federation.memory_readers(o)) r (reader)
        where o.deleted_at is null and (
          o.tenant_id <> n.tenant_id or ('' <> all (federation.memory_readers(n)) and r.reader <> all (federation.memory_readers(n))))) c
      group by c.op, c.tenant_id, c.reader
    loop
      perform federation.tell_reader(change.op, change.tenant_id, nullif(change.reader, ''), change.ids,
        case when not change.is_large then change.memories end, change.weight);
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

do $$
declare
  members text[] := array['authenticated', 'service_role'];
  definer text[] := array['federation_definer'];
begin
  perform federation.hand_out('federation.memory_json', members || definer);
  perform federation.hand_out('federation.is_quiet', definer);
  perform federation.hand_out('federation.taken_memory', members, true);
  perform federation.hand_out('federation.taken_places', members, true);
  perform federation.hand_out('federation.hidden_since', members, true);
  perform federation.hand_out('federation.is_below_floor', members, true);
  perform federation.hand_out('federation.note_lost', '{}', true);
  perform federation.hand_out('federation.tell_reader', definer);
  perform federation.hand_out('federation.tell_memories', '{}', true);
end
$$;
