-- What answers with memories asks may_read(): all as before otherwise.

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
      and federation.may_read(k, who.agent)
    order by k.created_at desc, k.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

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
    and federation.may_read(k, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return memory;
end
$$;

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
    and federation.may_read(k, who.agent);
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

create or replace function federation.hidden_since(after_tx xid8, after_seq bigint, horizon xid8, max_rows integer)
returns table (tx xid8, seq bigint, memory text)
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
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
  limit max_rows
$$;

create or replace function federation.pull_page(
  writer text, cursor text, max_rows integer, max_bytes integer, as_agent text, as_tenant text)
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
  is_held_back boolean;
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
        (select k.tx, k.seq, k as memory, case when k.hlc_writer = writer then 700 else federation.memory_weight(k) end as weight,
           null as hidden
         from public.agent_memories k
         where k.tenant_id = who.tenant and (k.tx, k.seq) > (after_tx, after_seq) and k.tx < horizon
           and federation.may_read(k, who.agent)
         order by k.tx, k.seq limit max_rows + 1)
        union all
        select h.tx, h.seq, null, 500, h.memory from federation.hidden_since(after_tx, after_seq, horizon, max_rows + 1) h) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select c.*, c.place <= max_rows and (c.place = 1 or c.bytes <= max_bytes) as is_in from changes c)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then coalesce(p.hidden, federation.replica_text(p.memory, coalesce((p.memory).hlc_writer = writer, false))) end, ',' order by p.place) as memories
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
    is_held_back := not is_more and (
      exists (
        select from public.agent_memories k
        where k.tenant_id = who.tenant and (k.tx, k.seq) > (horizon, 0::bigint)
          and federation.may_read(k, who.agent))
      or exists (select from federation.hidden_since(horizon, 0, pg_snapshot_xmax(pg_current_snapshot()), 1)));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    answer := concat(
      '{"rows": [', page.memories, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, case when is_more then since end)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ', to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;

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
      and federation.may_read(k, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

create or replace function public.federation_stats(as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  stats jsonb;
begin
  -- A service that names no tenant counts all of them; the policies keep everybody else to their own.
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  select jsonb_build_object(
    'total_memories', (
      select count(*) from public.agent_memories k
      where (who.tenant is null or k.tenant_id = who.tenant) and k.deleted_at is null and k.superseded_by is null
        and (k.expires_at is null or k.expires_at > now()) and federation.may_read(k, who.agent)),
    'active_sessions', (
      select count(*) from public.agent_sessions s
      where (who.tenant is null or s.tenant_id = who.tenant) and s.ended_at is null
        and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)),
    'total_messages', (
      select count(*) from public.agent_messages m
      where (who.tenant is null or m.tenant_id = who.tenant)
        and (who.agent is null or m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent)),
    'open_tasks', (
      select count(*) from public.agent_tasks t where (who.tenant is null or t.tenant_id = who.tenant) and t.ended_at is null))
  into stats;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return stats;
end
$$;

create or replace function public.heartbeat(
  session_id text, status text default null, task text default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  positions jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', heartbeat.session_id, 255),
    federation.check_text('status', coalesce(heartbeat.status, 'unchanged'), 64),
    federation.check_text('task', heartbeat.task, 65536, false);
  update public.agent_sessions s set
    last_seen_at = now(),
    status = coalesce(heartbeat.status, s.status),
    task = case when heartbeat.status is null then coalesce(heartbeat.task, s.task) else heartbeat.task end
  where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent and s.ended_at is null
  returning s.* into session;
  if not found then
    select * into session from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent;
  end if;
  perform federation.sweep(who.tenant);
  select jsonb_build_object(
    'inbox', coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent = who.agent), 0),
    'feed', greatest(
      coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent is null), 0),
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope = 'tenant'), 0)),
    'queue', greatest(
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to = who.agent), 0),
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to is null), 0)),
    'roster', coalesce((select max(s.seq) from public.agent_sessions s where s.tenant_id = who.tenant), 0))
  into positions;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object(
    'server_time', clock_timestamp(), 'alive', session.row_id is not null and session.ended_at is null,
    'end_reason', session.end_reason, 'positions', positions);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.query_memories', members);
  perform federation.hand_out('public.get_memory', members);
  perform federation.hand_out('public.delete_memory', members);
  perform federation.hand_out('federation.hidden_since', members, true);
  perform federation.hand_out('federation.pull_page', members);
  perform federation.hand_out('public.read_memories', members);
  perform federation.hand_out('public.federation_stats', members);
  perform federation.hand_out('public.heartbeat', members, true);
end
$$;
