-- Memories: stored, read, searched, deleted. All of it runs as the caller, under the caller's policies.

-- What store_memories() cannot leave to the table's constraints, with a message that names the memory.
create or replace function federation.check_memory(memory jsonb, place bigint, tenant text, agent text)
returns void
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
declare
  named text;
begin
  if jsonb_typeof(memory) <> 'object' then
    raise exception 'memory %: expected an object, got %', place, jsonb_typeof(memory) using errcode = '22023';
  end if;
  -- Nearly all are like this, and asking once is several times faster than asking for the first thing that is wrong.
  if octet_length(memory ->> 'id') between 1 and 255 and octet_length(memory ->> 'content') <= 1048576
    and coalesce(octet_length(memory ->> 'session_id'), 0) <= 255 and coalesce(octet_length(memory ->> 'embedding_model'), 0) <= 255
    and memory ->> 'supersedes' is null and octet_length((memory -> 'metadata')::text) <= 1048576
    and coalesce(octet_length((memory -> 'source')::text), 0) <= 1048576 and coalesce(memory ->> 'scope', 'tenant') in ('agent', 'session', 'tenant')
    and coalesce(memory ->> 'agent_id', agent) = agent and coalesce(memory ->> 'tenant_id', tenant) = tenant
    and not memory ?| '{if_version,ttl_seconds,skip_identical}' then
    return;
  end if;
  perform federation.check_text(format('memory %s: id', place), memory ->> 'id', 255);
  named := 'memory ' || quote_literal(memory ->> 'id');
  perform federation.check_text(named || ': content', coalesce(memory ->> 'content', ''), 1048576, false),
    federation.check_text(named || ': session_id', memory ->> 'session_id', 255, false),
    federation.check_text(named || ': embedding_model', memory ->> 'embedding_model', 255, false),
    federation.check_text(named || ': supersedes', memory ->> 'supersedes', 255, false),
    federation.check_json(named || ': metadata', memory -> 'metadata'),
    federation.check_json(named || ': source', memory -> 'source'),
    federation.check_agent(named || ': agent_id', memory ->> 'agent_id');
  if memory ->> 'content' is null then
    raise exception '%: content: expected a text, got nothing', named using errcode = '22023';
  end if;
  if coalesce(memory ->> 'scope', 'tenant') not in ('agent', 'session', 'tenant') then
    raise exception '%: scope: expected agent, session or tenant, got %', named, quote_literal(memory ->> 'scope') using errcode = '22023';
  end if;
  if memory ?| '{if_version,ttl_seconds,skip_identical}' then
    if coalesce(memory ->> 'if_version', '0') !~ '^[0-9]{1,18}$' then
      raise exception '%: if_version: expected a whole number, 0 or more, got %', named, memory -> 'if_version' using errcode = '22023';
    elsif memory ->> 'ttl_seconds' is not null and (
        jsonb_typeof(memory -> 'ttl_seconds') <> 'number' or (memory ->> 'ttl_seconds')::numeric not between 0.001 and 1e10) then
      raise exception '%: ttl_seconds: expected a number from 0.001 to 1e10, got %', named, memory -> 'ttl_seconds' using errcode = '22023';
    elsif memory ->> 'ttl_seconds' is not null and memory ->> 'expires_at' is not null then
      raise exception '%: expected expires_at or ttl_seconds, got both', named using errcode = '22023';
    elsif coalesce(memory ->> 'skip_identical', 'true') not in ('true', 'false') then
      raise exception '%: skip_identical: expected true or false, got %', named, memory -> 'skip_identical' using errcode = '22023';
    end if;
  end if;
  if coalesce(memory ->> 'agent_id', agent) is null then
    raise exception '%: no agent: expected agent_id, or as_agent for all of them', named using errcode = '42501';
  end if;
  if memory ->> 'agent_id' <> agent or memory ->> 'tenant_id' <> tenant then
    raise exception '%: agent % of tenant % cannot store for agent % of tenant %', named, agent, tenant,
      coalesce(memory ->> 'agent_id', agent), coalesce(memory ->> 'tenant_id', tenant) using errcode = '42501';
  end if;
end
$$;

-- Which of `ids` is another agent's memory. Asked beforehand, because the writer may not be able to see that memory.
create or replace function federation.taken_memory(tenant text, ids text[], owners text[])
returns text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select k.id from unnest(ids, owners) as wanted (id, owner)
  cross join lateral (
    select m.id, m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
  where k.agent_id <> wanted.owner
  limit 1
$$;

-- Batches lock their rows in the order of their ids, so that two which share some wait for each other instead of deadlocking. One
-- that also touches what it supersedes, or looks before it writes, cannot keep to that order, so it runs alone among its agents'.
create or replace function federation.lock_writers(tenant text, owners text[], is_alone boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if is_alone then
    perform pg_advisory_xact_lock(w.key) from (
      select distinct hashtextextended(tenant || ' ' || o, 0) as key from unnest(owners) o where o is not null order by 1) w;
  else
    perform pg_advisory_xact_lock_shared(w.key) from (
      select distinct hashtextextended(tenant || ' ' || o, 0) as key from unnest(owners) o where o is not null order by 1) w;
  end if;
end
$$;

-- For each memory with skip_identical the id that has its content already: a living memory of the same agent and scope, or the
-- first of this call.
create or replace function federation.identical_memories(memories jsonb, tenant text, agent text)
returns text[]
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(case when g.skips then coalesce(k.id, nullif(g.first_id, g.id)) end order by g.place)
  from (
    select m.ordinality as place, m.value ->> 'id' as id, coalesce(m.value ->> 'skip_identical', '') = 'true' as skips,
      coalesce(m.value ->> 'agent_id', identical_memories.agent) as owner, coalesce(m.value ->> 'scope', 'tenant') as scope,
      encode(sha256(convert_to(m.value ->> 'content', 'UTF8')), 'hex') as hash,
      first_value(m.value ->> 'id') over (
        partition by coalesce(m.value ->> 'agent_id', identical_memories.agent), coalesce(m.value ->> 'scope', 'tenant'), m.value ->> 'content'
        order by m.ordinality) as first_id
    from jsonb_array_elements(memories) with ordinality m) g
  left join lateral (
    select m.id from public.agent_memories m
    where g.skips and m.tenant_id = tenant and m.agent_id = g.owner and m.scope = g.scope and m.content_hash = g.hash
      and m.deleted_at is null and m.superseded_by is null and (m.expires_at is null or m.expires_at > now())
    order by m.id = g.id desc, m.id limit 1) k on true
$$;

-- What if_version says must be there. The rows are locked by now; what is not there yet is looked at again after the insert.
create or replace function federation.check_versions(memories jsonb, tenant text, skipped text[], is_written boolean)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stale record;
begin
  select m.id, m.expected, case when k.deleted_at is null then coalesce(k.version, 0) else 0 end as found
  into stale
  from (
    select g.value ->> 'id' as id, (g.value ->> 'if_version')::bigint as expected, g.ordinality as place
    from jsonb_array_elements(memories) with ordinality g
    where g.value ->> 'if_version' is not null and skipped[g.ordinality] is null offset 0) m -- an index under policies wants plain columns
  left join public.agent_memories k on k.tenant_id = tenant and k.id = m.id
  where case when is_written then m.expected = 0 and k.tx <> pg_current_xact_id()
    else m.expected <> case when k.deleted_at is null then coalesce(k.version, 0) else 0 end end
  order by m.place limit 1;
  if found then
    raise exception 'memory %: expected %, found %', quote_literal(stale.id),
      case stale.expected when 0 then 'none' else 'version ' || stale.expected end,
      case stale.found when 0 then 'none' else 'version ' || stale.found end
      using errcode = '23505',
        detail = jsonb_build_object('id', stale.id, 'expected', stale.expected, 'found', stale.found)::text;
  end if;
end
$$;

-- One statement, so one announcement, however many memories. Of two with the same id the later one counts. A memory is
-- replaced as a whole: what is left out is empty afterwards.
create or replace function public.store_memories(memories jsonb, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
as $$
declare
  who record;
  ids text[];
  owners text[];
  older text[];
  taken text;
  skipped text[] := '{}';
  is_conditional boolean;
  must_be_new text[] := '{}';
  written integer;
begin
  -- A service that names no agent says in each memory whose it is.
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if memories is null or jsonb_typeof(memories) <> 'array' then
    raise exception 'memories: expected an array of objects, got %', coalesce(jsonb_typeof(memories), 'nothing') using errcode = '22023';
  end if;
  perform federation.check_memory(m.value, m.ordinality, who.tenant, who.agent)
  from jsonb_array_elements(memories) with ordinality m;
  ids := array(select m.value ->> 'id' from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  owners := array(
    select coalesce(m.value ->> 'agent_id', who.agent) from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  taken := federation.taken_memory(who.tenant, ids, owners);
  if taken is not null then
    raise exception 'memory % belongs to another agent', quote_literal(taken) using errcode = '42501';
  end if;

  if jsonb_path_exists(memories, '$[*] ? (@.skip_identical == true)') then
    skipped := federation.identical_memories(memories, who.tenant, who.agent);
  end if;

  older := array(
    select m.value ->> 'supersedes' from jsonb_array_elements(memories) m where m.value ->> 'supersedes' is not null);
  is_conditional := jsonb_path_exists(memories, '$[*] ? (@.if_version >= 0)');
  perform federation.lock_writers(who.tenant, owners, is_conditional or cardinality(older) > 0);
  if is_conditional then
    perform from public.agent_memories k where k.tenant_id = who.tenant and k.id = any (ids) order by k.id for update;
  end if;
  if is_conditional then
    perform federation.check_versions(memories, who.tenant, skipped, false);
    must_be_new := array(select m.value ->> 'id' from jsonb_array_elements(memories) m where m.value -> 'if_version' = '0');
  end if;
  insert into public.agent_memories as k (
    tenant_id, id, agent_id, session_id, content, embedding, embedding_model, metadata, source, scope, supersedes,
    valid_from, valid_to, traceparent, correlation_id, instance_id, created_at, expires_at)
  select who.tenant, w.id, coalesce(w.agent_id, who.agent), w.session_id, w.content, (g.value ->> 'embedding')::vector,
    w.embedding_model, coalesce(w.metadata, '{}'), w.source, coalesce(w.scope, 'tenant'), w.supersedes, w.valid_from,
    w.valid_to, w.traceparent, w.correlation_id, w.instance_id, coalesce(w.created_at, now()), coalesce(w.expires_at, now() + make_interval(secs => w.ttl_seconds))
  from (
    select distinct on (m.value ->> 'id') m.value from jsonb_array_elements(memories) with ordinality m
    where skipped[m.ordinality] is null
    order by m.value ->> 'id', m.ordinality desc) g,
    jsonb_to_record(g.value) as w (
      id text, agent_id text, session_id text, content text, embedding_model text, metadata jsonb, source jsonb, scope text,
      supersedes text, valid_from timestamptz, valid_to timestamptz, traceparent text, correlation_id text, instance_id text,
      created_at timestamptz, expires_at timestamptz, ttl_seconds float8)
  order by w.id
  on conflict (tenant_id, id) do update set
    session_id = excluded.session_id, content = excluded.content, embedding = excluded.embedding,
    embedding_model = excluded.embedding_model, metadata = excluded.metadata, source = excluded.source,
    scope = excluded.scope, supersedes = excluded.supersedes, valid_from = excluded.valid_from, valid_to = excluded.valid_to,
    traceparent = excluded.traceparent, correlation_id = excluded.correlation_id, instance_id = excluded.instance_id,
    created_at = excluded.created_at, expires_at = excluded.expires_at, deleted_at = null,
    superseded_by = case when k.deleted_at is null then k.superseded_by end
  where k.agent_id = excluded.agent_id and (k.deleted_at is not null or k.id <> all (must_be_new)) and (
    k.deleted_at is not null
    or (k.session_id, k.content, k.embedding, k.embedding_model, k.metadata, k.source, k.scope, k.supersedes, k.valid_from,
        k.valid_to, k.expires_at) is distinct from
       (excluded.session_id, excluded.content, excluded.embedding, excluded.embedding_model, excluded.metadata,
        excluded.source, excluded.scope, excluded.supersedes, excluded.valid_from, excluded.valid_to, excluded.expires_at));
  get diagnostics written = row_count;
  if is_conditional then
    perform federation.check_versions(memories, who.tenant, skipped, true);
  end if;
  -- What was not written was there already, or another agent stored it a moment ago.
  if written < cardinality(ids) then
    taken := federation.taken_memory(who.tenant, ids, owners);
    if taken is not null then
      raise exception 'memory % belongs to another agent', quote_literal(taken) using errcode = '42501';
    end if;
  end if;
  if cardinality(older) > 0 then
    update public.agent_memories k set superseded_by = m.id
    from (
      select g.value ->> 'id' as id, g.value ->> 'supersedes' as old_id, coalesce(g.value ->> 'agent_id', who.agent) as owner
      from jsonb_array_elements(memories) with ordinality g
      where g.value ->> 'supersedes' is not null and skipped[g.ordinality] is null offset 0) m
    where k.tenant_id = who.tenant and k.id = m.old_id and k.id <> m.id
      and k.agent_id = m.owner and k.deleted_at is null and k.superseded_by is distinct from m.id;
  end if;

  if cardinality(skipped) > 0 then
    ids := array(
      select coalesce(s.id, i.id) from unnest(ids) with ordinality i (id, place)
      join unnest(skipped) with ordinality s (id, place) using (place) order by place);
  end if;
  -- One look-up a memory, whatever the planner thinks of an array's length.
  return query
    select federation.memory_json(k.memory) from unnest(ids) with ordinality as wanted (id, place)
    cross join lateral (
      select m as memory from public.agent_memories m
      where m.tenant_id = who.tenant and m.id = wanted.id offset 0) k
    order by wanted.place;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.store_memories is 'Inserts or replaces memories by id; the same content again changes nothing.';

create or replace function public.store_memory(memory jsonb, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  if memory is null or jsonb_typeof(memory) <> 'object' then
    raise exception 'memory: expected an object, got %', coalesce(jsonb_typeof(memory), 'nothing') using errcode = '22023';
  end if;
  return (select s from public.store_memories(jsonb_build_array(memory), as_agent, as_tenant) s);
end
$$;
comment on function public.store_memory is 'Inserts or replaces a memory by id; answers the row.';

create or replace function public.query_memories(
  agent text default null, max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_agent('agent', query_memories.agent);
  return query
    select federation.memory_json(k) from public.agent_memories k
    where k.tenant_id = who.tenant and (query_memories.agent is null or k.agent_id = query_memories.agent)
      and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
      and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
    order by k.created_at desc, k.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.query_memories is 'Memories that the caller may read, newest first.';

create or replace function public.get_memory(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  memory jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select federation.memory_json(k) into memory from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = get_memory.id
    and k.deleted_at is null and k.superseded_by is null and (k.expires_at is null or k.expires_at > now())
    and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return memory;
end
$$;
comment on function public.get_memory is 'A memory that the caller may read, or null.';

create or replace function public.delete_memory(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  owner text;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select k.agent_id into owner from public.agent_memories k
  where k.tenant_id = who.tenant and k.id = delete_memory.id and k.deleted_at is null
    and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent);
  if owner <> who.agent then
    raise exception 'memory % belongs to another agent', quote_literal(delete_memory.id) using errcode = '42501';
  end if;
  if owner is not null then
    update public.agent_memories k set deleted_at = now()
    where k.tenant_id = who.tenant and k.id = delete_memory.id and k.agent_id = owner and k.deleted_at is null;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return owner is not null;
end
$$;
comment on function public.delete_memory is 'Leaves a tombstone; false when there was nothing to delete.';

create or replace function public.memory_index_statement(dimensions integer)
returns text
language plpgsql stable
set search_path = pg_catalog, pg_temp
as $$
declare
  home text := (select quote_ident(n.nspname) from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
begin
  if dimensions is null or dimensions not between 1 and 4000 then
    raise exception 'dimensions: expected 1 to 4000, got %', coalesce(dimensions::text, 'nothing') using errcode = '22023',
      hint = 'Above 4000 dimensions pgvector has no HNSW index; searches stay exact.';
  end if;
  return format(
    'create index if not exists agent_memories_hnsw_%1$s on public.agent_memories using hnsw '
    '((embedding::%2$s.%3$s(%1$s)) %2$s.%3$s_cosine_ops) where %2$s.vector_dims(embedding) = %1$s',
    dimensions, home, kind);
end
$$;
comment on function public.memory_index_statement is 'The statement that makes an HNSW index for one dimension; it makes none itself.';

-- What names pgvector's type or operators is made with its schema on the path, and keeps exactly that path.
do $$
declare
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
  before text := current_setting('search_path');
begin
  perform set_config('search_path', format('pg_catalog, %I, pg_temp', home), true);
  execute $create$
    create or replace function public.search_memories(
      embedding vector, max_rows integer default 10, as_agent text default null, as_tenant text default null)
    returns setof jsonb
    language plpgsql
    as $body$
    declare
      who record;
      dimensions integer := vector_dims(embedding);
      kind text := case when dimensions <= 2000 then 'vector' else 'halfvec' end;
      near text := 'k.embedding <=> $1';
      version integer[];
    begin
      select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
      if embedding is null or vector_norm(embedding) = 0 then
        raise exception 'embedding: expected a vector that is not all zeros, got %', case when embedding is null then 'nothing' else 'zeros' end
          using errcode = '22023';
      end if;
      if to_regclass('public.agent_memories_hnsw_' || dimensions) is not null then
        near := format('k.embedding::%1$s(%2$s) <=> $1::%1$s(%2$s)', kind, dimensions);
        -- Without it the tenant's filter starves what the index finds. pgvector has it since 0.8.
        version := (select string_to_array(extversion, '.')::integer[] from pg_extension where extname = 'vector');
        if version >= array[0, 8] then
          perform set_config('hnsw.iterative_scan', 'strict_order', true);
        end if;
      end if;
      return query execute format(
        'select federation.memory_json(k) || jsonb_build_object(''similarity'', 1 - (%1$s)) from public.agent_memories k '
        'where k.tenant_id = $2 and vector_dims(k.embedding) = %2$s and k.deleted_at is null and k.superseded_by is null '
        'and (k.expires_at is null or k.expires_at > now()) and (k.scope <> ''agent'' or $3 is null or k.agent_id = $3) '
        'order by %1$s limit $4', near, dimensions)
        using embedding, who.tenant, who.agent, federation.check_rows(max_rows);
      perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    end
    $body$
  $create$;
  execute format('alter function public.search_memories set search_path = pg_catalog, %I, pg_temp', home);
  execute format('alter function public.store_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform set_config('search_path', before, true);
end
$$;
comment on function public.search_memories is 'The memories nearest in meaning, best first, of the same dimension only.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.check_memory', members);
  perform federation.hand_out('federation.taken_memory', members, true);
  perform federation.hand_out('federation.lock_writers', members);
  perform federation.hand_out('federation.identical_memories', members);
  perform federation.hand_out('federation.check_versions', members);
  perform federation.hand_out('public.store_memories', members);
  perform federation.hand_out('public.store_memory', members);
  perform federation.hand_out('public.query_memories', members);
  perform federation.hand_out('public.search_memories', members);
  perform federation.hand_out('public.get_memory', members);
  perform federation.hand_out('public.delete_memory', members);
  perform federation.hand_out('public.memory_index_statement', members);
end
$$;
