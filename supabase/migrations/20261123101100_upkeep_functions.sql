-- Numbers, the log of events, and removing an agent or a tenant with every trace.
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
        and (k.expires_at is null or k.expires_at > now()) and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)),
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
comment on function public.federation_stats is 'How many memories, live sessions, messages and open tasks the caller may read.';

create or replace function public.list_events(
  after_seq bigint default 0, max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  return query
    select to_jsonb(e) - '{row_id,tx,private}'::text[] from public.agent_events e
    where e.tenant_id = who.tenant and e.seq > coalesce(after_seq, 0)
      and (not e.private or who.agent is null or e.agent_id = who.agent)
    order by e.seq
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.list_events is 'What happened in the tenant, oldest first.';

-- Stored broadcasts. Belongs to `postgres` as announce() does: only it may touch realtime.messages. A project that does not
-- let it delete there lets it update, which removes the content all the same; Realtime drops the rows after three days.
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
        m.payload #>> '{message,from_agent}', m.payload #>> '{message,to_agent}')
      or m.payload ->> 'id' = any (%3$L::text[])
      or (jsonb_typeof(m.payload -> 'ids') = 'array' and m.payload -> 'ids' ?| %3$L::text[])
      or (jsonb_typeof(m.payload -> 'memories') = 'array' and exists (
        select from jsonb_array_elements(m.payload -> 'memories') k where %2$L in (k ->> 'agent_id', k ->> 'written_by'))))
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
comment on function federation.forget_broadcasts(text, text, text[]) is 'Removes what was broadcast by, to or about an agent, or in a tenant.';

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
  delete from public.agent_messages m where m.tenant_id = tenant and (agent is null or agent in (m.from_agent, m.to_agent));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_messages', removed);
  delete from public.agent_memories k where k.tenant_id = tenant and (agent is null or k.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_memories', removed);
  -- Replicas drop what they do not find again.
  delete from federation.hidden_memories h where h.tenant_id = tenant and (agent is null or agent in (h.agent_id, h.lost_by));
  perform federation.raise_floor(tenant, pg_current_xact_id(), nextval('federation.change_seq'));
  delete from public.agent_sessions s where s.tenant_id = tenant and (agent is null or s.agent_id = agent);
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_sessions', removed);
  delete from public.agent_events e where e.tenant_id = tenant and (agent is null or agent in (e.agent_id, e.peer));
  get diagnostics removed = row_count;
  counts := counts || jsonb_build_object('agent_events', removed);
  counts := counts || jsonb_build_object('broadcasts', federation.forget_broadcasts(tenant, agent, ids));
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

create or replace function public.delete_agent(agent text, tenant text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  counts jsonb;
begin
  perform federation.check_text('agent', agent, 128);
  select * into who from federation.act_as(agent, coalesce(tenant, ''), 'agent');
  counts := federation.remove(who.tenant, who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return counts;
end
$$;
comment on function public.delete_agent is 'Removes every trace of an agent; for services.';

create or replace function public.delete_tenant(tenant text)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  counts jsonb;
begin
  select * into who from federation.act_as(null, coalesce(tenant, ''), 'tenant');
  counts := federation.remove(who.tenant, null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return counts;
end
$$;
comment on function public.delete_tenant is 'Removes every trace of a tenant; for services.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.federation_stats', members);
  perform federation.hand_out('public.list_events', members);
  perform federation.hand_out('federation.forget_broadcasts', array['federation_definer']);
  perform federation.hand_out('federation.remove', array['federation_definer']);
  perform federation.hand_out('public.delete_agent', array['service_role'], true);
  perform federation.hand_out('public.delete_tenant', array['service_role'], true);
end
$$;
