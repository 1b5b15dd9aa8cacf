-- Messages do not stay for ever: what was handled, given up or said to everybody goes after a time that is a setting, and what has
-- expired after a day. What waits for its agent stays.
alter table federation.sync_settings add column if not exists messages_kept interval not null default interval '30 days'
  check (messages_kept >= interval '1 day');
comment on table federation.sync_settings is 'One row: what cursors of this database begin with, how long tombstones and messages stay.';
alter table federation.upkeep add column if not exists messages_at timestamptz not null default '-infinity';

create index if not exists agent_messages_handled on public.agent_messages (tenant_id, handled_at) where handled_at is not null;
create index if not exists agent_messages_expiring on public.agent_messages (tenant_id, expires_at)
  where expires_at is not null and handled_at is null;
drop index if exists public.agent_messages_expiry;

create or replace function public.keep_messages(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set messages_kept = make_interval(days => keep_messages.days);
end
$$;
comment on function public.keep_messages is 'How long messages stay once they were handled, given up, or said to everybody.';

-- At most `max_rows`, the oldest of each kind. An expired request stays for a day, so that whoever asks it again does not ask anew.
create or replace function federation.remove_old_messages(tenant text, max_rows integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  old := array(
      select h.row_id from public.agent_messages h where h.tenant_id = tenant and h.handled_at < before
      order by h.handled_at limit max_rows for update skip locked)
    || array(
      select e.row_id from public.agent_messages e
      where e.tenant_id = tenant and e.expires_at < now() - interval '1 day' and e.handled_at is null
      order by e.expires_at limit max_rows for update skip locked)
    || array(
      select d.row_id from public.agent_messages d where d.tenant_id = tenant and d.dead_at < before
      limit max_rows for update skip locked)
    || array(
      select b.row_id from (
        select a.row_id, a.created_at from public.agent_messages a
        where a.tenant_id = tenant and a.to_agent is null order by a.tx, a.seq limit max_rows) b
      where b.created_at < before);
  delete from public.agent_messages m where m.row_id = any (old[1:max_rows]);
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function federation.remove_old_messages(text, integer) is 'Removes messages of a tenant whose time is over; how many.';

-- For services: each tenant is found by one look into an index.
create or replace function federation.tenants_with_messages()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with recursive tenants as (
    (select m.tenant_id from public.agent_messages m order by m.tenant_id limit 1)
    union all
    select (select m.tenant_id from public.agent_messages m where m.tenant_id > t.tenant_id order by m.tenant_id limit 1)
    from tenants t where t.tenant_id is not null)
  select t.tenant_id from tenants t where t.tenant_id is not null
$$;

create or replace function public.cleanup_messages(
  max_rows integer default 10000, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_old_messages(who.tenant, federation.check_rows(max_rows));
  else
    select coalesce(sum(public.cleanup_messages(max_rows, null, t)), 0) into removed from federation.tenants_with_messages() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_messages is 'Removes messages whose time is over, at most max_rows of a tenant; answers how many.';

-- As before, and messages: once a minute, or every time while the last time was not enough.
create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep as u (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at
  returning u.messages_at into looked_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  delete from public.agent_locks l where l.tenant_id = tenant and l.expires_at < now() - interval '1 day';
  if looked_at < clock_timestamp() - interval '1 minute' then
    removed := federation.remove_old_messages(tenant, 1000);
    if removed < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed);
  end if;
  perform federation.tell_sessions(tenant);
  return done;
end
$$;

create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories(), cleanup_tombstones() and cleanup_messages() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones(), public.cleanup_messages()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$$;

-- As before, with the time at which it expires, where it does: what waited for its handler is asked about once more.
create or replace function federation.message_json(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
      'id', message.id, 'tenant_id', message.tenant_id, 'from_agent', message.from_agent, 'type', message.type,
      'payload', message.payload, 'timestamp', message.created_at, 'reply_to', message.reply_to,
      'correlation_id', message.correlation_id, 'hop_count', message.hop_count, 'sender_seq', message.sender_seq,
      'traceparent', message.traceparent, 'delivery_attempt', message.delivery_attempt, 'seq', message.seq)
    || case when message.to_agent is null then '{}' else jsonb_build_object('to_agent', message.to_agent) end
    || case when message.expires_at is null then '{}' else jsonb_build_object('expires_at', message.expires_at) end
$$;

-- As before; what had expired when it was stored is announced to nobody.
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
  if coalesce(new.expires_at > clock_timestamp(), true) then
    perform federation.announce(
      'federation:' || new.tenant_id || coalesce(':agent:' || new.to_agent, ':feed'), 'message', payload);
  end if;
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  values (new.tenant_id, new.from_agent, 'message_stored', new.id, new.to_agent);
  return null;
end
$$;

-- As before; what has expired is not delivered any more: it is answered as dead, and stays as it is.
create or replace function public.deliver_messages(
  ids text[], max_deliveries integer default 5, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if max_deliveries is null or max_deliveries < 1 then
    raise exception 'max_deliveries: expected 1 or more, got %', coalesce(max_deliveries::text, 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  return query
    with wanted as (
      select m.row_id from public.agent_messages m
      where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
        and (m.expires_at is null or m.expires_at > now())
      order by m.row_id for update)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.expires_at <= now();
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.keep_messages', array['service_role'], true);
  perform federation.hand_out('federation.remove_old_messages', members, true);
  perform federation.hand_out('federation.tenants_with_messages', array['service_role']);
  perform federation.hand_out('public.cleanup_messages', members);
  perform federation.hand_out('federation.sweep', array['federation_definer']);
  perform federation.hand_out('federation.tell_message', '{}', true);
end
$$;
