-- Sessions: opened, kept alive, changed, closed, listed.
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
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$$;
comment on function public.open_session is 'Opens a session of the acting agent, or reopens it.';

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
  alive boolean;
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
  where s.tenant_id = who.tenant and s.session_id = heartbeat.session_id and s.agent_id = who.agent and s.ended_at is null;
  alive := found;
  select jsonb_build_object(
    'inbox', coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent = who.agent), 0),
    'feed', greatest(
      coalesce((select max(m.seq) from public.agent_messages m where m.tenant_id = who.tenant and m.to_agent is null), 0),
      coalesce((select max(k.seq) from public.agent_memories k where k.tenant_id = who.tenant and k.scope <> 'agent'), 0)),
    'queue', greatest(
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to = who.agent), 0),
      coalesce((select max(q.seq) from public.agent_task_queue q where q.tenant_id = who.tenant and q.assigned_to is null), 0)))
  into positions;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('server_time', clock_timestamp(), 'alive', alive, 'positions', positions);
end
$$;
comment on function public.heartbeat is 'Keeps a session alive; answers the newest positions of inbox, feed and queue.';

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
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$$;
comment on function public.update_session is 'Sets status and task of an open session; P0002 when there is none.';

create or replace function public.close_session(
  session_id text, reason text default 'shutdown', as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  session public.agent_sessions;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  perform federation.check_text('session_id', close_session.session_id, 255),
    federation.check_text('reason', close_session.reason, 255, false);
  update public.agent_sessions s set
    status = 'offline', ended_at = coalesce(s.ended_at, now()), end_reason = coalesce(s.end_reason, close_session.reason)
  where s.tenant_id = who.tenant and s.session_id = close_session.session_id and (s.agent_id = who.agent or who.agent is null)
  returning s.* into session;
  if not found then
    raise exception 'no session % of this agent', quote_literal(close_session.session_id) using errcode = 'P0002';
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.session_json(session);
end
$$;
comment on function public.close_session is 'Ends a session; ending it again changes nothing.';

create or replace function public.list_sessions(as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select federation.session_json(s) from public.agent_sessions s
    where s.tenant_id = who.tenant and s.ended_at is null and s.last_seen_at > now() - make_interval(secs => s.timeout_seconds)
    order by s.started_at desc, s.seq desc;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.list_sessions is 'Sessions that are alive, newest first.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.open_session', members, true);
  perform federation.hand_out('public.heartbeat', members, true);
  perform federation.hand_out('public.update_session', members, true);
  perform federation.hand_out('public.close_session', members, true);
  perform federation.hand_out('public.list_sessions', members);
end
$$;
