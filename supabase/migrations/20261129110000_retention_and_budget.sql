-- What else grows without end has a time of its own: events, always; messages that wait for an agent that never comes, where a service
-- says so. And nobody, however it sends, may send without end.
alter table federation.sync_settings
  add column if not exists waiting_kept interval check (waiting_kept >= interval '1 day'),
  add column if not exists events_kept interval not null default interval '30 days' check (events_kept >= interval '1 day'),
  add column if not exists messages_per_minute integer not null default 60000 check (messages_per_minute between 1 and 100000000);
comment on table federation.sync_settings is
  'One row: what cursors of this database begin with; how long tombstones, messages and events stay; how long a chain of messages may be, and how many an agent may send in a minute.';

create or replace function public.keep_waiting_messages(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, or null for ever, got %', days using errcode = '22023';
  end if;
  update federation.sync_settings set waiting_kept = make_interval(days => keep_waiting_messages.days);
end
$$;
comment on function public.keep_waiting_messages is 'After how many days a message that its agent has not handled becomes a dead letter; null: never.';

create or replace function public.keep_events(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set events_kept = make_interval(days => keep_events.days);
end
$$;
comment on function public.keep_events is 'How long events stay.';

create or replace function public.limit_messages(per_minute integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if per_minute is null or per_minute not between 1 and 100000000 then
    raise exception 'per_minute: expected 1 to 100000000, got %', coalesce(per_minute::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set messages_per_minute = per_minute;
end
$$;
comment on function public.limit_messages is 'How many messages an agent may store in a minute, by all its processes together.';

-- Refuses with 53400 once an agent has stored more within the last minute; what tells of tasks is not counted, it ends with them. Counting
-- what a busy agent sent is not free, so a large limit is looked at every now and then, and overrun by about a hundredth of itself.
create or replace function federation.check_budget(message public.agent_messages)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  most integer := (select s.messages_per_minute from federation.sync_settings s);
  since timestamptz := clock_timestamp() - interval '1 minute';
  sent integer := 0;
  at timestamptz;
begin
  if random() * most > 100 then
    return;
  end if;
  for at in
    select m.created_at from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.from_agent = message.from_agent and m.type not in ('task_assignment', 'task_complete')
    order by m.seq desc limit most + 1
  loop
    exit when at < since;
    sent := sent + 1;
  end loop;
  if sent > most then
    raise exception 'messages: % has stored % within a minute, which is the limit', message.from_agent, most using errcode = '53400',
      hint = 'Send less, or have a service raise the limit: select public.limit_messages(…).';
  end if;
end
$$;
comment on function federation.check_budget(public.agent_messages) is 'Refuses a message of an agent that sends without end.';

-- As before, within the budget. A repetition of what is stored is no message more.
create or replace function public.send_message(
  id text, to_agent text, type text, payload jsonb,
  reply_to text default null, correlation_id text default null, hop_count integer default 0,
  sender_seq bigint default null, instance_id text default null, traceparent text default null,
  expires_at timestamptz default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_variable
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('id', id, 255), federation.check_agent('to_agent', to_agent),
    federation.check_text('type', type, 255), federation.check_json('payload', payload),
    federation.check_text('reply_to', reply_to, 255, false), federation.check_text('correlation_id', correlation_id, 255, false),
    federation.check_text('instance_id', instance_id, 255, false), federation.check_text('traceparent', traceparent, 255, false);
  if hop_count < 0 then
    raise exception 'hop_count: expected 0 or more, got %', hop_count using errcode = '22023';
  end if;
  -- Whoever gets these acts on them, so they come from the functions that change the task and from nowhere else.
  if type = 'task_assignment' then
    raise exception 'task_assignment is no message to send' using errcode = '42501', hint = 'Call assign_task().';
  elsif type = 'task_complete' and to_agent is not null then
    raise exception 'task_complete is no message to send to one agent' using errcode = '42501',
      hint = 'Call complete_task(), which tells whoever assigned the task.';
  elsif type = 'task_complete' and payload ->> 'completed_by' <> who.agent then
    raise exception 'task_complete: completed_by: expected %, who sends it, got %', quote_literal(who.agent),
      quote_literal(left(payload ->> 'completed_by', 150)) using errcode = '42501';
  end if;
  message.tenant_id := who.tenant;
  message.id := id;
  message.from_agent := who.agent;
  message.to_agent := to_agent;
  message.type := type;
  message.payload := coalesce(payload, 'null');
  message.reply_to := reply_to;
  message.correlation_id := correlation_id;
  message.hop_count := coalesce(hop_count, 0);
  message.sender_seq := sender_seq;
  message.instance_id := instance_id;
  message.traceparent := traceparent;
  message.expires_at := expires_at;
  message := federation.store_message(message);
  if message.tx = pg_current_xact_id() then
    perform federation.check_budget(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.message_json(message);
end
$$;

-- As before; what has waited for too long becomes a dead letter.
create or replace function federation.remove_old_messages(tenant text, max_rows integer)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.messages_kept from federation.sync_settings s);
  given_up interval := (select s.waiting_kept from federation.sync_settings s);
  old uuid[];
  removed integer;
begin
  if not pg_try_advisory_xact_lock(hashtextextended('federation.remove_old_messages ' || tenant, 0)) then
    return 0;
  end if;
  if given_up is not null then
    -- Agent by agent, each by one look at its oldest.
    with recursive boxes as (
      (select m.to_agent from public.agent_messages m
       where m.tenant_id = tenant and m.to_agent is not null and m.handled_at is null and m.dead_at is null order by m.to_agent limit 1)
      union all
      select (select m.to_agent from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent > b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.to_agent limit 1)
      from boxes b where b.to_agent is not null),
    waiting as (
      select w.row_id from boxes b cross join lateral (
        select m.row_id, m.created_at, m.expires_at from public.agent_messages m
        where m.tenant_id = tenant and m.to_agent = b.to_agent and m.handled_at is null and m.dead_at is null
        order by m.seq limit max_rows) w
      where w.created_at < now() - given_up and (w.expires_at is null or w.expires_at > now())
      limit max_rows)
    update public.agent_messages m set
      dead_at = now(),
      last_error = coalesce(m.last_error, format('waited for %s days, and no handler came to its end', extract(day from given_up)))
    from waiting w where m.row_id = w.row_id;
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
  delete from federation.feed_places p where p.tenant_id = tenant and p.moved_at < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$$;

create or replace function federation.remove_old_events(tenant text, max_rows integer)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.events_kept from federation.sync_settings s);
  removed integer;
begin
  delete from public.agent_events e using (
    select o.row_id, o.created_at from public.agent_events o where o.tenant_id = tenant order by o.seq limit max_rows) old
  where e.row_id = old.row_id and old.created_at < before;
  get diagnostics removed = row_count;
  return removed;
end
$$;
comment on function federation.remove_old_events(text, integer) is 'Removes events of a tenant whose time is over; how many.';

create or replace function federation.tenants_with_events()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  with recursive tenants as (
    (select e.tenant_id from public.agent_events e order by e.tenant_id limit 1)
    union all
    select (select e.tenant_id from public.agent_events e where e.tenant_id > t.tenant_id order by e.tenant_id limit 1)
    from tenants t where t.tenant_id is not null)
  select t.tenant_id from tenants t where t.tenant_id is not null
$$;

create or replace function public.cleanup_events(
  max_rows integer default 10000, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_old_events(who.tenant, federation.check_rows(max_rows));
  else
    select coalesce(sum(public.cleanup_events(max_rows, null, t)), 0) into removed from federation.tenants_with_events() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_events is 'Removes events whose time is over, at most max_rows of a tenant; answers how many.';

-- As before, and events.
create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
  forgotten integer;
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
    forgotten := federation.remove_old_events(tenant, 1000);
    if removed < 1000 and forgotten < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed, 'events', forgotten);
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
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories(), cleanup_tombstones(), cleanup_messages() and cleanup_events() from a service now and then; the agents'' own calls sweep');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *',
    'select public.cleanup_expired_memories(), public.cleanup_tombstones(), public.cleanup_messages(), public.cleanup_events()';
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-sweep', '* * * * *', 'select public.sweep()';
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup', 'agent-federation-sweep'), 'reason', null);
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('public.keep_waiting_messages', array['service_role'], true);
  perform federation.hand_out('public.keep_events', array['service_role'], true);
  perform federation.hand_out('public.limit_messages', array['service_role'], true);
  perform federation.hand_out('federation.check_budget', array['federation_definer']);
  perform federation.hand_out('federation.remove_old_events', array['federation_definer']);
  perform federation.hand_out('federation.tenants_with_events', array['federation_definer']);
  perform federation.hand_out('public.cleanup_events', members, true);
end
$$;
