-- What replicas of a tenant's memories push and pull. Runs as the caller, under the caller's policies.

-- A memory as it is told to replicas, as JSON text. What has expired is told as deleted; `is_brief` leaves out what its writer knows.
create or replace function federation.replica_text(memory public.agent_memories, is_brief boolean default false)
returns text
language sql stable
as $$
  select case
    when memory.deleted_at is not null or memory.expires_at <= now() then (
      federation.memory_facts(memory) || jsonb_build_object(
        'content', null, 'embedding', null, 'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'content_hash', null,
        'deleted_at', coalesce(memory.deleted_at, memory.expires_at)))::text
    when is_brief then federation.memory_facts(memory)::text
    else federation.memory_text(memory)
  end
$$;

-- Which of `ids`, by place, is another agent's memory. Asked beforehand, because the writer may not be able to see that memory.
create or replace function federation.taken_places(tenant text, ids text[], owners text[])
returns integer[]
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select array_agg(wanted.place::integer) from unnest(ids, owners) with ordinality as wanted (id, owner, place)
  cross join lateral (
    select m.agent_id from public.agent_memories m where m.tenant_id = tenant and m.id = wanted.id offset 0) k
  where k.agent_id <> wanted.owner
$$;

-- One pushed memory as a row, or an error that says what is wrong with it.
create or replace function federation.pushed_memory(memory jsonb, place bigint, tenant text, agent text)
returns public.agent_memories
language plpgsql stable
as $$
declare
  pushed public.agent_memories;
  clock jsonb := memory -> 'hlc';
  named text;
begin
  if memory ->> 'deleted_at' is not null then
    memory := jsonb_build_object('content', '') || (memory - '{content,embedding,embedding_model,metadata,source}'::text[]);
    pushed.deleted_at := now();
  end if;
  perform federation.check_memory(memory, place, tenant, agent);
  named := 'memory ' || quote_literal(memory ->> 'id');
  pushed.hlc_ms := clock ->> 'ms';
  pushed.hlc_counter := clock ->> 'counter';
  pushed.hlc_writer := federation.check_text(named || ': hlc.writer', clock ->> 'writer', 255);
  if pushed.hlc_ms is null or pushed.hlc_ms not between 1 and 9007199254740991 or coalesce(pushed.hlc_counter, -1) < 0 then
    raise exception '%: hlc: expected { ms, counter, writer }, got %', named, left(coalesce(clock::text, 'nothing'), 500) using errcode = '22023';
  end if;
  pushed.id := memory ->> 'id';
  pushed.agent_id := coalesce(memory ->> 'agent_id', agent);
  pushed.session_id := memory ->> 'session_id';
  pushed.content := case when pushed.deleted_at is null then memory ->> 'content' end;
  pushed.embedding := memory ->> 'embedding';
  if vector_norm(pushed.embedding) = 0 then
    raise exception '%: embedding: expected a vector that is not all zeros', named using errcode = '22023';
  end if;
  pushed.embedding_model := memory ->> 'embedding_model';
  pushed.metadata := coalesce(nullif(memory -> 'metadata', 'null'), '{}');
  pushed.source := nullif(memory -> 'source', 'null');
  pushed.scope := coalesce(memory ->> 'scope', 'tenant');
  pushed.supersedes := memory ->> 'supersedes';
  pushed.created_at := coalesce((memory ->> 'created_at')::timestamptz, now());
  pushed.expires_at := memory ->> 'expires_at';
  if not isfinite(pushed.created_at) or not isfinite(pushed.expires_at) then
    raise exception '%: expected times that come, got created_at % and expires_at %', named, pushed.created_at, pushed.expires_at
      using errcode = '22023';
  end if;
  return pushed;
end
$$;

create or replace function public.push_memories(
  memories jsonb, brief boolean default false, as_agent text default null, as_tenant text default null)
returns setof json
language plpgsql
as $$
declare
  who record;
  pushed public.agent_memories[];
  refusals json[] := '{}';
  -- Ids whose clock is ahead of the bound: they win, and get the server's.
  ahead text[];
  older text[];
  latest bigint := federation.latest_clock_ms();
  taken integer;
  one record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if memories is null or jsonb_typeof(memories) <> 'array' then
    raise exception 'memories: expected an array of objects, got %', coalesce(jsonb_typeof(memories), 'nothing') using errcode = '22023';
  end if;
  begin
    pushed := array(
      select federation.pushed_memory(m.value, m.ordinality, who.tenant, who.agent)
      from jsonb_array_elements(memories) with ordinality m order by m.ordinality);
  exception when data_exception or insufficient_privilege or program_limit_exceeded then
    -- One of them is wrong: look at each.
    pushed := '{}';
    for one in select m.value, m.ordinality::integer as place from jsonb_array_elements(memories) with ordinality m order by m.ordinality loop
      begin
        pushed[one.place] := federation.pushed_memory(one.value, one.place, who.tenant, who.agent);
      exception when data_exception or insufficient_privilege or program_limit_exceeded then
        pushed[one.place] := null;
        refusals[one.place] := json_build_object('outcome', 'refused', 'reason', sqlerrm, 'code', sqlstate);
      end;
    end loop;
  end;
  foreach taken in array coalesce(federation.taken_places(who.tenant,
    array(select p.id from unnest(pushed) with ordinality p order by p.ordinality),
    array(select p.agent_id from unnest(pushed) with ordinality p order by p.ordinality)), '{}') loop
    refusals[taken] := json_build_object('outcome', 'refused', 'code', '42501',
      'reason', format('memory %L belongs to another agent', pushed[taken].id));
  end loop;
  ahead := array(select p.id from unnest(pushed) p where p.hlc_ms > latest);
  older := array(select p.supersedes from unnest(pushed) p where p.supersedes is not null);

  perform federation.lock_writers(who.tenant, array(select p.agent_id from unnest(pushed) p), cardinality(older) > 0);
  insert into public.agent_memories as k (
    tenant_id, id, agent_id, session_id, content, embedding, embedding_model, metadata, source, scope, supersedes, superseded_by,
    written_by, created_at, expires_at, deleted_at, hlc_ms, hlc_counter, hlc_writer)
  select who.tenant, w.id, w.agent_id, w.session_id, w.content, w.embedding, w.embedding_model, w.metadata, w.source, w.scope, w.supersedes,
    -- What supersedes it may have been faster.
    (select s.id from public.agent_memories s
     where s.tenant_id = who.tenant and s.supersedes = w.id and s.agent_id = w.agent_id and s.id <> w.id and s.deleted_at is null limit 1),
    coalesce(who.agent, w.agent_id), w.created_at, w.expires_at, w.deleted_at, w.hlc_ms, w.hlc_counter, w.hlc_writer
  from (
    select distinct on (p.id) p.* from unnest(pushed) with ordinality p
    where p.id is not null and refusals[p.ordinality] is null
    order by p.id, p.hlc_ms desc, p.hlc_counter desc, p.hlc_writer collate "C" desc, p.ordinality desc) w
  order by w.id
  on conflict (tenant_id, id) do update set
    session_id = excluded.session_id, content = excluded.content, embedding = excluded.embedding,
    embedding_model = excluded.embedding_model, metadata = excluded.metadata, source = excluded.source, scope = excluded.scope,
    supersedes = excluded.supersedes, created_at = excluded.created_at, expires_at = excluded.expires_at,
    deleted_at = excluded.deleted_at, superseded_by = case when k.deleted_at is null then k.superseded_by else excluded.superseded_by end,
    hlc_ms = case when k.id = any (ahead) then k.hlc_ms else excluded.hlc_ms end,
    hlc_counter = case when k.id = any (ahead) then k.hlc_counter else excluded.hlc_counter end,
    hlc_writer = case when k.id = any (ahead) then k.hlc_writer else excluded.hlc_writer end
  where k.agent_id = excluded.agent_id and case
    when k.id = any (ahead) then
      (k.session_id, k.content, k.embedding, k.embedding_model, k.metadata, k.source, k.scope, k.supersedes, k.expires_at,
       k.deleted_at is null) is distinct from
      (excluded.session_id, excluded.content, excluded.embedding, excluded.embedding_model, excluded.metadata, excluded.source,
       excluded.scope, excluded.supersedes, excluded.expires_at, excluded.deleted_at is null)
    else federation.is_later(excluded.hlc_ms, excluded.hlc_counter, excluded.hlc_writer, k.hlc_ms, k.hlc_counter, k.hlc_writer) end;
  if cardinality(older) > 0 then
    update public.agent_memories k set superseded_by = s.id
    from public.agent_memories s
    where s.tenant_id = who.tenant and s.id = any (array(select p.id from unnest(pushed) p)) and s.deleted_at is null
      and k.tenant_id = who.tenant and k.id = any (older) and k.id = s.supersedes and k.agent_id = s.agent_id and k.id <> s.id
      and (who.agent is null or k.agent_id = who.agent) and k.deleted_at is null and k.superseded_by is distinct from s.id;
  end if;

  return query
    select coalesce(refusals[p.ordinality], case
      when (k.memory).agent_id is distinct from p.agent_id then json_build_object('outcome', 'refused', 'code', '42501',
        'reason', format('memory %L belongs to another agent', p.id))
      when federation.is_later((k.memory).hlc_ms, (k.memory).hlc_counter, (k.memory).hlc_writer, p.hlc_ms, p.hlc_counter, p.hlc_writer) then
        concat('{"outcome": "older", "memory": ', federation.replica_text(k.memory), '}')::json
      else
        concat('{"outcome": "applied", "clock_moved": ',
          federation.is_later(p.hlc_ms, p.hlc_counter, p.hlc_writer, (k.memory).hlc_ms, (k.memory).hlc_counter, (k.memory).hlc_writer)::text,
          ', "memory": ', federation.replica_text(k.memory, brief), '}')::json
      end)
    from unnest(pushed) with ordinality p
    left join lateral (
      select m as memory from public.agent_memories m where m.tenant_id = who.tenant and m.id = p.id offset 0) k on true
    order by p.ordinality;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.push_memories is 'Writes of a replica, with their clocks: each is applied, older than what is there, or refused.';

-- What whoever asks can no longer read, below `horizon`, for pull_memories().
create or replace function federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
returns table (tx xid8, seq bigint, memory text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select h.tx, h.seq, jsonb_build_object(
    'id', h.id, 'tenant_id', h.tenant_id, 'agent_id', h.agent_id, 'session_id', null, 'content', null, 'embedding', null,
    'embedding_model', null, 'metadata', '{}'::jsonb, 'source', null, 'scope', 'tenant', 'written_by', h.agent_id, 'content_hash', null,
    'supersedes', null, 'superseded_by', null, 'version', h.version, 'created_at', h.hidden_at, 'updated_at', h.hidden_at,
    'expires_at', null, 'deleted_at', h.hidden_at, 'seq', h.seq,
    'hlc', jsonb_build_object('ms', h.hlc_ms, 'counter', h.hlc_counter, 'writer', h.hlc_writer))::text
  from federation.hidden_memories h
  where h.tenant_id = federation.tenant_id() and (h.tx, h.seq) > (after_tx, after_seq) and h.tx < horizon
    and (h.lost_by = '' or federation.agent_id() is null or h.lost_by = federation.agent_id())
    and not exists (
      select from public.agent_memories k
      where k.tenant_id = h.tenant_id and k.id = h.id
        and (k.scope <> 'agent' or federation.agent_id() is null or k.agent_id = federation.agent_id()))
  order by h.tx, h.seq
  limit max_rows
$$;

-- Whether something that whoever asks may hold was removed without a trace after `at`, as far as readers below `horizon` see.
create or replace function federation.is_below_floor(at_tx xid8, at_seq bigint, horizon xid8)
returns boolean
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select exists (
    select from federation.pull_floors f
    where f.tenant_hash = encode(sha256(convert_to(federation.tenant_id(), 'UTF8')), 'hex')
      and (f.tx, f.seq) > (at_tx, at_seq) and f.tx < horizon)
$$;

-- A sequence is handed out before the commit, so "greater than the last I saw" would lose rows. Every transaction below `horizon`
-- has ended, so what it wrote is seen or never will be.
create or replace function public.pull_memories(
  cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  horizon xid8 := pg_snapshot_xmin(pg_current_snapshot());
  -- How far everything was read; and, during a first reading, when it began.
  after_tx xid8 := '0';
  after_seq bigint := 0;
  since xid8;
  is_reset boolean := false;
  is_more boolean;
  page record;
  answer json;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if cursor is null then
    since := horizon;
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18})?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
    is_reset := true;
  else
    after_tx := given[2];
    after_seq := given[3];
    since := given[4];
  end if;
  max_rows := greatest(1, federation.check_rows(max_rows));
  if not is_reset then
    with changes as (
      select c.tx, c.seq, c.memory, c.weight, c.hidden,
        row_number() over earlier as place, sum(c.weight) over earlier as bytes
      from (
        (select k.tx, k.seq, k as memory, federation.memory_weight(k) as weight, null as hidden from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory)) end, ',' order by p.place) as memories
    into page from page p;
    -- Asked after reading, so that nothing is removed in between unnoticed.
    is_reset := federation.is_below_floor(
      greatest(after_tx, since), case when since is null or after_tx >= since then after_seq else 0 end, horizon);
  end if;
  if is_reset then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0:', horizon), 'done', false, 'reset', true,
      'server_time', clock_timestamp());
  else
    is_more := coalesce(page.is_cut, false);
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;
comment on function public.pull_memories is 'What changed in the tenant''s memories since a cursor, in the order of change, and the next cursor.';

create or replace function public.read_memories(ids text[], as_agent text default null, as_tenant text default null)
returns setof json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.replica_text(k)::json from public.agent_memories k
    where k.tenant_id = who.tenant and k.id = any (ids)
      and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.read_memories is 'Memories by id as replicas get them, tombstones too.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
  home text := (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector');
begin
  execute format('alter function federation.pushed_memory set search_path = pg_catalog, %I, pg_temp', home);
  execute format('alter function public.push_memories set search_path = pg_catalog, %I, pg_temp', home);
  perform federation.hand_out('federation.replica_text', members);
  perform federation.hand_out('federation.taken_places', members, true);
  perform federation.hand_out('federation.pushed_memory', members);
  perform federation.hand_out('public.push_memories', members);
  perform federation.hand_out('federation.hidden_since', members, true);
  perform federation.hand_out('federation.is_below_floor', members, true);
  perform federation.hand_out('public.pull_memories', members);
  perform federation.hand_out('public.read_memories', members);
end
$$;
