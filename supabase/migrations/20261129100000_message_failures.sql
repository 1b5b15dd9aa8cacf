-- A message to everybody that an agent gave up, because its handlers failed, is a dead letter of that agent: one row for each agent that
-- failed, none for those that did not. Taken out of the dead letters it is a message of that agent's inbox.
create table if not exists public.agent_message_failures (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text not null check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  message_row uuid not null references public.agent_messages (row_id) on delete cascade,
  delivery_attempt integer not null default 1,
  last_error text,
  dead_at timestamptz,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (message_row, agent_id)
);
comment on table public.agent_message_failures is 'Messages to everybody that an agent gave up, or has taken out of its dead letters and not handled yet.';
create index if not exists agent_message_failures_agent on public.agent_message_failures (tenant_id, agent_id);
create or replace trigger stamp before insert or update on public.agent_message_failures
  for each row execute function federation.stamp();

alter table public.agent_message_failures enable row level security;
revoke all on public.agent_message_failures from public, anon, authenticated, service_role;
grant select on public.agent_message_failures to authenticated;
grant select, insert, update, delete on public.agent_message_failures to service_role, federation_definer;
drop policy if exists "members read their own" on public.agent_message_failures;
create policy "members read their own" on public.agent_message_failures for select to authenticated
  using (tenant_id = (select federation.tenant_id()) and agent_id = (select federation.agent_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_message_failures;
create policy "functions, in the tenant they act for" on public.agent_message_failures for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- What a failure changes in what one reads of a message.
create or replace function federation.failure_json(failure public.agent_message_failures)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select case when failure.row_id is null then '{}' else jsonb_build_object(
    'delivery_attempt', failure.delivery_attempt, 'last_error', failure.last_error, 'dead_at', failure.dead_at, 'handled_at', null) end
$$;

-- As before; who has come by it without having handled it is counted apart. Once everybody has come by, it is handled, or given up by some.
create or replace function federation.broadcast_receipt(message public.agent_messages)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  here text := federation.epoch();
  counts record;
  delivered_at timestamptz := message.delivered_at;
  handled_at timestamptz := message.handled_at;
  dead_at timestamptz;
begin
  select count(*) as recipients, count(p.agent_id) as passed_by, max(p.moved_at) as last_at,
    count(p.agent_id) filter (where f.row_id is null) as handled_by,
    count(f.dead_at) as failed_by, max(f.dead_at) as dead_at, max(f.delivery_attempt) as attempts,
    (array_agg(f.agent_id || ': ' || f.last_error order by f.dead_at desc) filter (where f.dead_at is not null))[1] as last_error
  into counts
  from (
    select distinct s.agent_id from public.agent_sessions s
    where s.tenant_id = message.tenant_id and s.agent_id <> message.from_agent and s.started_at <= message.created_at
      and (s.ended_at is null or s.ended_at > message.created_at)) r
  left join federation.feed_places p on p.tenant_id = message.tenant_id and p.agent_id = r.agent_id and p.epoch = here
    and (p.tx, p.seq) >= (message.tx, message.seq)
  left join public.agent_message_failures f on f.message_row = message.row_id and f.agent_id = r.agent_id;
  if counts.passed_by = counts.recipients then
    delivered_at := coalesce(delivered_at, greatest(counts.last_at, message.created_at)); -- at the latest
    if counts.handled_by = counts.recipients then
      handled_at := coalesce(handled_at, delivered_at);
    elsif counts.handled_by + counts.failed_by = counts.recipients then
      dead_at := counts.dead_at;
    end if;
  end if;
  return federation.receipt_json(message) || jsonb_build_object(
    'recipients', counts.recipients, 'handled_by', counts.handled_by, 'failed_by', counts.failed_by,
    'delivered_at', delivered_at, 'handled_at', handled_at, 'dead_at', dead_at,
    'delivery_attempt', coalesce(counts.attempts, message.delivery_attempt), 'last_error', counts.last_error);
end
$$;
comment on function federation.broadcast_receipt(public.agent_messages) is 'How many were to hear a message to everybody, how many have handled it, and how many have given it up.';

-- Something changed that may have been the last its sender waits for.
create or replace function federation.tell_broadcast(message public.agent_messages)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  receipt jsonb;
begin
  if not message.receipts or message.handled_at is not null then
    return;
  end if;
  receipt := federation.broadcast_receipt(message);
  if receipt ->> 'handled_at' is not null then
    update public.agent_messages m set delivered_at = coalesce(m.delivered_at, now()), handled_at = now()
    where m.row_id = message.row_id and m.handled_at is null;
  elsif receipt ->> 'dead_at' is not null then
    perform federation.announce('federation:' || message.tenant_id || ':agent:' || message.from_agent, 'receipt', receipt);
  end if;
end
$$;

-- As before, and given up by some counts as an end.
create or replace function public.feed_place(cursor text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(feed_place.cursor, ':');
  moment pg_snapshot := pg_current_snapshot();
  here text := federation.epoch();
  before federation.feed_places;
  place federation.feed_places;
  is_new boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if feed_place.cursor is null then
    insert into federation.feed_places (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, pg_snapshot_xmin(moment), 0, concat_ws(':', here, pg_snapshot_xmin(moment), 0, moment))
    on conflict (tenant_id, agent_id) do nothing;
    is_new := found;
  elsif feed_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> here
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    raise exception 'cursor: expected one that pull_messages() gave out here, got %', quote_literal(left(feed_place.cursor, 150))
      using errcode = '22023';
  else
    select * into before from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent for update;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    insert into federation.feed_places as p (tenant_id, agent_id, epoch, tx, seq, cursor)
    values (who.tenant, who.agent, here, given[2]::xid8, given[3]::bigint, feed_place.cursor)
    on conflict (tenant_id, agent_id) do update set
      epoch = excluded.epoch, tx = excluded.tx, seq = excluded.seq, cursor = excluded.cursor, moved_at = now()
    where p.epoch <> excluded.epoch or (excluded.tx, excluded.seq) > (p.tx, p.seq);
    if before.epoch = here then
      -- The last one to come by tells the sender.
      perform federation.tell_broadcast(m) from public.agent_messages m
      where m.tenant_id = who.tenant and m.to_agent is null and m.receipts and m.handled_at is null
        and (m.tx, m.seq) > (before.tx, before.seq) and (m.tx, m.seq) <= (given[2]::xid8, given[3]::bigint);
    end if;
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.cursor, 'moved_at', place.moved_at, 'new', is_new);
end
$$;

-- As before, and messages to everybody that the agent has taken out of its dead letters.
create or replace function public.pull_inbox(
  max_messages integer default 100, after_seq bigint default 0, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  most integer := federation.check_rows(max_messages);
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  return query
    select w.message from (
      (select m.seq, federation.message_json(m) as message from public.agent_messages m
       where m.tenant_id = who.tenant and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
         and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
       order by m.seq limit most)
      union all
      (select m.seq, federation.message_json(m) || jsonb_build_object('delivery_attempt', f.delivery_attempt)
       from public.agent_message_failures f join public.agent_messages m on m.row_id = f.message_row
       where f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
         and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
       order by m.seq limit most)) w
    order by w.seq
    limit most;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before; a message to everybody that was handled after all leaves no trace.
create or replace function public.mark_messages(
  ids text[], state text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if state is null or state not in ('delivered', 'handled') then
    raise exception 'state: expected delivered or handled, got %', coalesce(quote_literal(state), 'nothing') using errcode = '22023';
  end if;
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  -- In the order of the rows, so that two who mark the same messages wait for each other instead of deadlocking.
  with wanted as (
    select m.row_id from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent
      and case state when 'delivered' then m.delivered_at is null else m.handled_at is null end
    order by m.row_id for update)
  update public.agent_messages m set
    delivered_at = coalesce(m.delivered_at, now()),
    handled_at = case state when 'handled' then now() else m.handled_at end
  from wanted w where m.row_id = w.row_id;
  get diagnostics changed = row_count;
  if state = 'handled' then
    for message in
      select m.* from public.agent_message_failures f join public.agent_messages m on m.row_id = f.message_row
      where f.tenant_id = who.tenant and f.agent_id = who.agent and m.id = any (ids)
      order by m.row_id for update
    loop
      delete from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
      perform federation.tell_broadcast(message);
      changed := changed + 1;
    end loop;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$$;

-- As before, for both kinds.
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
    update public.agent_message_failures f set
      delivery_attempt = least(f.delivery_attempt + 1, max_deliveries),
      dead_at = case when f.delivery_attempt >= max_deliveries then now() end
    from public.agent_messages m
    where m.row_id = f.message_row and m.id = any (ids) and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
      and (m.expires_at is null or m.expires_at > now())
    returning jsonb_build_object('id', m.id, 'delivery_attempt', f.delivery_attempt, 'dead', f.dead_at is not null);
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.handled_at is null and m.dead_at is null and m.expires_at <= now()
      and (m.to_agent = who.agent or exists (
        select from public.agent_message_failures f
        where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before, for both kinds.
create or replace function public.fail_message(
  id text, error text, dead boolean default false, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  reason text := left(coalesce(fail_message.error, 'no reason given'), 2000);
  changed boolean;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set
    last_error = reason,
    delivered_at = coalesce(m.delivered_at, now()),
    dead_at = case when fail_message.dead then now() end
  where m.tenant_id = who.tenant and m.id = fail_message.id and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null;
  changed := found;
  update public.agent_message_failures f set last_error = reason, dead_at = case when fail_message.dead then now() end
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = fail_message.id and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
  returning m.* into message;
  if fail_message.dead and message.row_id is not null then
    perform federation.tell_broadcast(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed or message.row_id is not null;
end
$$;

create or replace function public.fail_broadcast(
  id text, error text, attempts integer default 1, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if attempts is null or attempts < 1 then
    raise exception 'attempts: expected 1 or more, got %', coalesce(attempts::text, 'nothing') using errcode = '22023';
  end if;
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = fail_broadcast.id and m.to_agent is null and m.from_agent <> who.agent for update;
  if message.row_id is not null then
    insert into public.agent_message_failures as f (tenant_id, agent_id, message_row, delivery_attempt, last_error, dead_at)
    values (who.tenant, who.agent, message.row_id, attempts, left(coalesce(fail_broadcast.error, 'no reason given'), 2000), now())
    on conflict (message_row, agent_id) do update set
      delivery_attempt = excluded.delivery_attempt, last_error = excluded.last_error, dead_at = excluded.dead_at;
    perform federation.tell_broadcast(message);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return message.row_id is not null;
end
$$;
comment on function public.fail_broadcast is 'The acting agent gives up a message to everybody, which is a dead letter of its own from now on; false when there is none.';

-- As before, for both kinds.
create or replace function public.requeue_message(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  is_one boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set dead_at = null, delivery_attempt = 0
  where m.tenant_id = who.tenant and m.id = requeue_message.id and m.to_agent = who.agent and m.dead_at is not null;
  is_one := found;
  update public.agent_message_failures f set dead_at = null, delivery_attempt = 0
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = requeue_message.id and f.tenant_id = who.tenant and f.agent_id = who.agent
    and f.dead_at is not null;
  is_one := is_one or found;
  if is_one then
    perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'message', jsonb_build_object('id', requeue_message.id));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_one;
end
$$;

-- As before; of a message to everybody that the acting agent failed on, how far it got there. Its sender sees how far everybody is.
create or replace function public.get_message(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
  failure public.agent_message_failures;
  facts jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  if message.row_id is not null then
    select * into failure from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
    facts := federation.message_facts(message)
      || case when message.to_agent is null then federation.broadcast_receipt(message) else '{}' end
      || federation.failure_json(failure);
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return facts;
end
$$;

-- As before; what the acting agent failed on lies in its inbox.
create or replace function public.list_messages(
  filter jsonb default '{}', max_rows integer default 100, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  box text := coalesce(filter ->> 'box', 'all');
  state text := filter ->> 'state';
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if box not in ('inbox', 'sent', 'all') then
    raise exception 'box: expected inbox, sent or all, got %', quote_literal(left(box, 150)) using errcode = '22023';
  end if;
  if state not in ('waiting', 'delivered', 'handled', 'dead') then
    raise exception 'state: expected waiting, delivered, handled or dead, got %', quote_literal(left(state, 150)) using errcode = '22023';
  end if;
  return query
    select federation.message_facts(m) || federation.failure_json(f)
    from public.agent_messages m
    left join public.agent_message_failures f on m.to_agent is null and f.message_row = m.row_id and f.agent_id = who.agent
    where m.tenant_id = who.tenant
      and case box
        when 'inbox' then m.to_agent = who.agent or f.row_id is not null
        when 'sent' then m.from_agent = who.agent
        else m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent end
      and case state
        when 'waiting' then m.to_agent is not null and m.delivered_at is null and m.dead_at is null
        when 'delivered' then case when f.row_id is null
          then m.delivered_at is not null and m.handled_at is null and m.dead_at is null else f.dead_at is null end
        when 'handled' then m.handled_at is not null
        when 'dead' then m.dead_at is not null or f.dead_at is not null
        else true end
      and (filter ->> 'type' is null or m.type = filter ->> 'type')
      and (filter ->> 'peer' is null or filter ->> 'peer' in (m.from_agent, m.to_agent))
      and (filter ->> 'reply_to' is null or m.reply_to = filter ->> 'reply_to')
      and (filter ->> 'before_seq' is null or m.seq < (filter ->> 'before_seq')::bigint)
    order by m.seq desc
    limit federation.check_rows(max_rows);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before, and failures.
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
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.remove', array['federation_definer']);
  perform federation.hand_out('federation.failure_json', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('public.fail_broadcast', members, true);
  perform federation.hand_out('federation.tell_broadcast', array['federation_definer']);
  perform federation.hand_out('federation.broadcast_receipt', array['authenticated', 'service_role', 'federation_definer'], true);
end
$$;
