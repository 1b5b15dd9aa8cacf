-- How far each agent has come on the feed. An agent that comes back goes on where it was; and the places of the agents are the
-- receipts of what was said to everybody: one row for each agent, none for each message.
create table if not exists federation.feed_places (
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text not null check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  epoch text not null,
  tx xid8 not null,
  seq bigint not null,
  cursor text not null,
  moved_at timestamptz not null default now(),
  primary key (tenant_id, agent_id)
);
comment on table federation.feed_places is 'Up to where each agent has handled what was said to everybody.';
alter table federation.feed_places enable row level security;
revoke all on federation.feed_places from public, anon, authenticated, service_role;
grant select, insert, update, delete on federation.feed_places to federation_definer;
drop policy if exists "functions, in the tenant they act for" on federation.feed_places;
create policy "functions, in the tenant they act for" on federation.feed_places for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- What became of a message to everybody. Its recipients are the agents that had an open session when it was stored.
create or replace function federation.broadcast_receipt(message public.agent_messages)
returns jsonb
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  here text := federation.epoch();
  counts record;
  handled_at timestamptz := message.handled_at;
begin
  select count(*) as recipients, count(p.agent_id) as handled_by, max(p.moved_at) as last_at into counts
  from (
    select distinct s.agent_id from public.agent_sessions s
    where s.tenant_id = message.tenant_id and s.agent_id <> message.from_agent and s.started_at <= message.created_at
      and (s.ended_at is null or s.ended_at > message.created_at)) r
  left join federation.feed_places p on p.tenant_id = message.tenant_id and p.agent_id = r.agent_id and p.epoch = here
    and (p.tx, p.seq) >= (message.tx, message.seq);
  if handled_at is null and counts.handled_by = counts.recipients then
    handled_at := greatest(counts.last_at, message.created_at); -- at the latest
  end if;
  return federation.receipt_json(message) || jsonb_build_object(
    'recipients', counts.recipients, 'handled_by', counts.handled_by, 'delivered_at', handled_at, 'handled_at', handled_at);
end
$$;
comment on function federation.broadcast_receipt(public.agent_messages) is 'How many were to hear a message to everybody, and how many have handled it.';

-- Without a cursor: where the acting agent goes on reading, which for a new one is here. With one: it has handled everything before.
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
      update public.agent_messages m set delivered_at = now(), handled_at = now()
      where m.tenant_id = who.tenant and m.to_agent is null and m.receipts and m.handled_at is null
        and (m.tx, m.seq) > (before.tx, before.seq) and (m.tx, m.seq) <= (given[2]::xid8, given[3]::bigint)
        and federation.broadcast_receipt(m) ->> 'handled_at' is not null;
    end if;
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.cursor, 'moved_at', place.moved_at, 'new', is_new);
end
$$;
comment on function public.feed_place is 'Up to where the acting agent has handled what was said to everybody; with a cursor, moves that on.';

-- As before; of a message to everybody the agents are asked how far they are, once, and tell it within a time that spreads them.
create or replace function public.ask_receipts(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
  receipt jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = ask_receipts.id and m.from_agent = who.agent for update;
  if message.row_id is null then
    raise exception 'no message % of this sender', quote_literal(ask_receipts.id) using errcode = 'P0002';
  end if;
  update public.agent_messages m set receipts = true where m.row_id = message.row_id and not m.receipts;
  if message.to_agent is not null then
    receipt := federation.receipt_json(message);
  else
    receipt := federation.broadcast_receipt(message);
    if not message.receipts and receipt ->> 'handled_at' is null then
      perform federation.announce('federation:' || who.tenant || ':feed', 'place_asked', jsonb_build_object(
        'within_ms', 2 * (receipt ->> 'recipients')::integer));
    end if;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return receipt;
end
$$;

create or replace function public.get_message(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  message public.agent_messages;
  facts jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select * into message from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  if message.row_id is not null then
    facts := federation.message_facts(message) || case when message.to_agent is null then federation.broadcast_receipt(message) else '{}' end;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return facts;
end
$$;

-- As before, and places of agents that have not moved for as long as messages stay, and are not here.
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
  delete from federation.feed_places p where p.tenant_id = tenant and p.moved_at < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$$;

-- As before, and places.
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
  delete from federation.feed_places p where p.tenant_id = tenant and (agent is null or p.agent_id = agent);
  perform set_config('federation.quiet', '', true);
  return counts;
end
$$;

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.broadcast_receipt', array['authenticated', 'service_role', 'federation_definer'], true);
  perform federation.hand_out('public.feed_place', members, true);
  perform federation.hand_out('federation.remove', array['federation_definer']);
end
$$;
