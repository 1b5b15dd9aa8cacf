-- What keeps the sessions of a tenant true without a clock of its own: sweeping inside the calls that agents make anyway, and
-- telling the changes of a large room as at most one digest a second.
create table if not exists federation.upkeep (
  tenant_id text primary key check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  swept_at timestamptz not null default '-infinity',
  told_at timestamptz not null default '-infinity'
);
comment on table federation.upkeep is 'When a tenant was swept, and when its sessions were told last.';

create table if not exists federation.session_news (
  news_id bigint generated always as identity primary key,
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text not null
);
comment on table federation.session_news is 'Sessions of large rooms that changed and were not told yet.';
create index if not exists session_news_tenant on federation.session_news (tenant_id, news_id);

do $$
declare
  name text;
begin
  foreach name in array array['upkeep', 'session_news'] loop
    execute format('alter table federation.%I enable row level security', name);
    execute format('revoke all on federation.%I from public, anon, authenticated, service_role', name);
    execute format('grant select, insert, update, delete on federation.%I to federation_definer', name);
    execute format('drop policy if exists "functions, in the tenant they act for" on federation.%I', name);
    -- Triggers note news for whatever row was written, also when the service role wrote it without naming a tenant.
    execute format('create policy "functions, in the tenant they act for" on federation.%I for all to federation_definer
      using (tenant_id = coalesce((select federation.tenant_id()), tenant_id)) with check (true)', name);
  end loop;
end
$$;

create index if not exists agent_sessions_cursor on public.agent_sessions (tenant_id, seq);

-- What others are told of a session. Metadata that is not small is read where it is wanted.
create or replace function federation.session_news_json(session public.agent_sessions)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select to_jsonb(session) - '{row_id,tx,tenant_id,version,timeout_seconds}'::text[]
    - case when octet_length(session.metadata::text) > 2048 then '{metadata}' else '{}' end::text[]
$$;

-- From this many open sessions on, a room is told of changes by digests.
create or replace function federation.is_large_room(tenant text)
returns boolean
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select count(*) > 100 from (
    select from public.agent_sessions s where s.tenant_id = tenant and s.ended_at is null limit 101) open_ones
$$;

-- Tells what waits, unless that was done less than a second ago or somebody is at it. Returns after how many milliseconds it may
-- be done; null when nothing waits. Frames stay under 200 kB.
create or replace function federation.tell_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  due_ms integer;
  change record;
  told jsonb[] := '{}';
  told_bytes integer := 0;
begin
  if not exists (select from federation.session_news n where n.tenant_id = tenant) then
    return null;
  end if;
  select ceil(1000 - extract(epoch from clock_timestamp() - u.told_at) * 1000) into due_ms
  from federation.upkeep u where u.tenant_id = tenant and u.told_at > clock_timestamp() - interval '1 second';
  if due_ms > 0 then
    return due_ms;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.tell_sessions ' || tenant, 0)) then
    return 1000;
  end if;
  insert into federation.upkeep (tenant_id, told_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set told_at = excluded.told_at;
  for change in
    with news as (
      delete from federation.session_news n where n.news_id in (
        select w.news_id from federation.session_news w where w.tenant_id = tenant
        order by w.news_id limit 5000 for update skip locked)
      returning n.session_id)
    select federation.session_news_json(s) as session from public.agent_sessions s
    where s.tenant_id = tenant and s.session_id in (select n.session_id from news n)
    order by s.seq
  loop
    if told_bytes + octet_length(change.session::text) > 199000 then
      perform federation.announce('federation:' || tenant || ':feed', 'sessions', jsonb_build_object('sessions', to_jsonb(told)));
      told := '{}';
      told_bytes := 0;
    end if;
    told := told || change.session;
    told_bytes := told_bytes + octet_length(change.session::text) + 2;
  end loop;
  if cardinality(told) > 0 then
    perform federation.announce('federation:' || tenant || ':feed', 'sessions', jsonb_build_object('sessions', to_jsonb(told)));
  end if;
  return (select 1000 from federation.session_news n where n.tenant_id = tenant limit 1);
end
$$;
comment on function federation.tell_sessions(text) is 'Tells a large room what changed, at most once a second; when it may be done again.';

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
  elsif old.seq = new.seq then
    return null; -- a heartbeat is nobody's news
  end if;
  if federation.is_large_room(new.tenant_id) then
    insert into federation.session_news (tenant_id, session_id) values (new.tenant_id, new.session_id);
    perform federation.tell_sessions(new.tenant_id);
  else
    perform federation.announce('federation:' || new.tenant_id || ':feed', 'sessions', jsonb_build_object(
      'sessions', jsonb_build_array(federation.session_news_json(new))));
  end if;
  return null;
end
$$;

-- Ends the sessions that have been silent for too long.
create or replace function federation.end_silent_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  ended integer;
begin
  update public.agent_sessions s set status = 'offline', ended_at = now(), end_reason = 'timeout'
  where s.row_id in (
    select d.row_id from public.agent_sessions d
    where d.tenant_id = tenant and d.ended_at is null and d.last_seen_at < now() - make_interval(secs => d.timeout_seconds)
    order by d.last_seen_at limit 500 for update skip locked);
  get diagnostics ended = row_count;
  return ended;
end
$$;

-- Everything that time alone makes due in a tenant: at most once a second, in whoever's call comes first. Others do not wait for it.
create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  delete from public.agent_locks l where l.tenant_id = tenant and l.expires_at < now() - interval '1 day';
  perform federation.tell_sessions(tenant);
  return done;
end
$$;
comment on function federation.sweep(text, boolean) is 'Ends what has timed out in a tenant; counts what it did.';

create or replace function public.open_session(
  session_id text, instance_id text default null, status text default 'online', task text default null,
  capabilities text[] default '{}', metadata jsonb default '{}', timeout_seconds integer default 90,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', open_session.session_id, 255),
    federation.check_text('instance_id', open_session.instance_id, 255, false),
    federation.check_text('status', open_session.status, 64),
    federation.check_text('task', open_session.task, 65536, false),
    federation.check_text('capabilities', array_to_string(open_session.capabilities, ','), 65536, false),
    federation.check_json('metadata', open_session.metadata, 65536);
  if jsonb_typeof(open_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(open_session.metadata) using errcode = '22023';
  end if;
  if open_session.timeout_seconds not between 1 and 86400 then
    raise exception 'timeout_seconds: expected 1 to 86400, got %', open_session.timeout_seconds using errcode = '22023';
  end if;
  if exists (
    select from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = open_session.session_id and s.agent_id = who.agent and s.end_reason = 'replaced') then
    raise exception 'session % was replaced by another process of agent %', quote_literal(open_session.session_id), who.agent
      using errcode = '55000', hint = 'It runs exclusively; end that process, or open a new session.';
  end if;
  insert into public.agent_sessions as s (
    tenant_id, session_id, agent_id, instance_id, status, task, capabilities, metadata, timeout_seconds)
  values (
    who.tenant, open_session.session_id, who.agent, open_session.instance_id, open_session.status, open_session.task,
    coalesce(open_session.capabilities, '{}'), coalesce(open_session.metadata, '{}'), coalesce(open_session.timeout_seconds, 90))
  on conflict (tenant_id, session_id) do update set
    instance_id = excluded.instance_id, status = excluded.status, task = excluded.task, capabilities = excluded.capabilities,
    metadata = excluded.metadata, timeout_seconds = excluded.timeout_seconds, last_seen_at = now(),
    started_at = case when s.ended_at is null then s.started_at else now() end, ended_at = null, end_reason = null
  where s.agent_id = excluded.agent_id
  returning s.* into session;
  if session.row_id is null then
    raise exception 'session % belongs to another agent', quote_literal(open_session.session_id) using errcode = '42501';
  end if;
  perform federation.sweep(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', federation.tell_sessions(who.tenant));
end
$$;
comment on function public.open_session is 'Opens a session of the acting agent, or reopens it; one that was replaced stays ended.';

create or replace function public.end_older_sessions(session_id text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  ended integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into session from public.agent_sessions s
  where s.tenant_id = who.tenant and s.session_id = end_older_sessions.session_id and s.agent_id = who.agent and s.ended_at is null;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(end_older_sessions.session_id) using errcode = 'P0002';
  end if;
  -- Of two that do this at once the newer one stays, whoever comes first.
  update public.agent_sessions s set status = 'offline', ended_at = now(), end_reason = 'replaced'
  where s.tenant_id = who.tenant and s.agent_id = who.agent and s.ended_at is null
    and (s.started_at, s.row_id) < (session.started_at, session.row_id);
  get diagnostics ended = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return ended;
end
$$;
comment on function public.end_older_sessions is 'Ends the acting agent''s sessions that are older than this one, as replaced; how many.';

create or replace function public.set_load(
  session_id text, load real, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  if set_load.load is null or not (set_load.load >= 0 and set_load.load <= 1) then
    raise exception 'load: expected a number from 0 to 1, got %', coalesce(set_load.load::text, 'nothing') using errcode = '22023';
  end if;
  update public.agent_sessions s set load = set_load.load, last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = set_load.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(set_load.session_id) using errcode = 'P0002';
  end if;
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', tell_in_ms);
end
$$;
comment on function public.set_load is 'How busy a session is, from 0 to 1.';

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
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope <> 'agent'), 0)),
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
comment on function public.heartbeat is 'Keeps a session alive; answers the newest positions of inbox, feed, queue and roster, and sweeps the tenant.';

create or replace function public.update_session(
  session_id text, status text, task text default null, metadata jsonb default null,
  as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', update_session.session_id, 255),
    federation.check_text('status', update_session.status, 64),
    federation.check_text('task', update_session.task, 65536, false),
    federation.check_json('metadata', update_session.metadata, 65536);
  if jsonb_typeof(update_session.metadata) <> 'object' then
    raise exception 'metadata: expected an object, got %', jsonb_typeof(update_session.metadata) using errcode = '22023';
  end if;
  update public.agent_sessions s set
    status = update_session.status, task = update_session.task,
    metadata = coalesce(update_session.metadata, s.metadata), last_seen_at = now()
  where s.tenant_id = who.tenant and s.session_id = update_session.session_id and (s.agent_id = who.agent or who.agent is null)
    and s.ended_at is null
  returning s.* into session;
  if not found then
    raise exception 'no open session % of this agent', quote_literal(update_session.session_id) using errcode = 'P0002';
  end if;
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session) || jsonb_build_object('tell_in_ms', tell_in_ms);
end
$$;
comment on function public.update_session is 'Sets status and task of an open session; P0002 when there is none.';

create or replace function public.tell_sessions(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  tell_in_ms integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  tell_in_ms := federation.tell_sessions(who.tenant);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return tell_in_ms;
end
$$;
comment on function public.tell_sessions is 'Tells a large room which sessions changed, unless that was done within this second; after how many milliseconds it may be.';

create or replace function federation.sweep_own()
returns jsonb
language sql security definer
set search_path = pg_catalog, pg_temp
as $$ select federation.sweep(federation.tenant_id(), true) $$;

create or replace function public.sweep(as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  done jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    done := federation.sweep_own();
  else
    -- A service that names no tenant sweeps all of them, one after the other; nobody else gets here.
    select coalesce(jsonb_object_agg(c.what, c.many), '{}') into done
    from (
      select w.key as what, sum(w.value::bigint) as many
      from (select distinct s.tenant_id from public.agent_sessions s where s.ended_at is null) t,
        lateral jsonb_each_text(public.sweep(null, t.tenant_id)) w
      group by w.key) c;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return done;
end
$$;
comment on function public.sweep is 'Ends what has timed out, in the caller''s tenant or for a service in all; counts what it did.';

create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories() and cleanup_tombstones() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$$;
comment on function public.schedule_maintenance is 'Has pg_cron clean up every five minutes and sweep every minute, where there is one.';

-- As before, and what is told of sessions.
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

-- As before, and what this file brought.
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
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from federation.session_news n where n.tenant_id = tenant and (agent is null or n.session_id in (
    select s.session_id from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = agent));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  delete from federation.upkeep u where u.tenant_id = tenant and agent is null;
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  definer text[] := array['federation_definer'];
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.session_news_json', definer);
  perform federation.hand_out('federation.is_large_room', definer);
  perform federation.hand_out('federation.tell_sessions', definer);
  perform federation.hand_out('federation.end_silent_sessions', definer);
  perform federation.hand_out('federation.sweep', definer);
  perform federation.hand_out('federation.tell_session', '{}', true);
  perform federation.hand_out('federation.remove', definer);
  perform federation.hand_out('federation.sweep_own', members, true);
  perform federation.hand_out('public.open_session', members, true);
  perform federation.hand_out('public.end_older_sessions', members, true);
  perform federation.hand_out('public.set_load', members, true);
  perform federation.hand_out('public.heartbeat', members, true);
  perform federation.hand_out('public.update_session', members, true);
  perform federation.hand_out('public.tell_sessions', members, true);
  perform federation.hand_out('public.sweep', members);
  perform federation.hand_out('public.schedule_maintenance', array['service_role']);
end
$$;
