-- How far each agent has heard of the memories of its tenant, so that its next process tells what changed meanwhile. Beside its place on the
-- feed, with which it goes when the agent does.
alter table federation.feed_places
  add column if not exists memory_cursor text,
  add column if not exists memory_at timestamptz;
comment on column federation.feed_places.memory_cursor is 'Up to where the agent was told which memories changed; null: from nowhere on yet.';
comment on column federation.feed_places.memory_at is 'When that was kept.';

-- Without a cursor: where the acting agent goes on, null for one that has kept nothing. With one: it was told of everything before.
create or replace function public.memory_place(cursor text default null, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  given text[] := string_to_array(memory_place.cursor, ':');
  here text := federation.epoch();
  place federation.feed_places;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if memory_place.cursor is not null then
    if memory_place.cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}$' or given[1] <> here
      or given[2]::xid8 > pg_snapshot_xmax(pg_current_snapshot()) then
      raise exception 'cursor: expected one that pull_memories() gave out here, got %', quote_literal(left(memory_place.cursor, 150))
        using errcode = '22023';
    end if;
    -- Several processes of an agent: the one that came furthest. In another epoch, no place says anything.
    update federation.feed_places p set memory_cursor = memory_place.cursor, memory_at = now()
    where p.tenant_id = who.tenant and p.agent_id = who.agent and (
      p.memory_cursor is null or split_part(p.memory_cursor, ':', 1) <> here
      or (given[2]::xid8, given[3]::bigint) > (split_part(p.memory_cursor, ':', 2)::xid8, split_part(p.memory_cursor, ':', 3)::bigint));
  end if;
  select * into place from federation.feed_places p where p.tenant_id = who.tenant and p.agent_id = who.agent;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('cursor', place.memory_cursor, 'kept_at', place.memory_at);
end
$$;
comment on function public.memory_place is 'Up to where the acting agent was told which memories changed.';

-- As before; a place is as old as the younger of its two halves.
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
  delete from federation.feed_places p where p.tenant_id = tenant and greatest(p.moved_at, p.memory_at) < before and not exists (
    select from public.agent_sessions s where s.tenant_id = tenant and s.agent_id = p.agent_id and s.ended_at is null);
  return removed;
end
$$;

do $$
begin
  perform federation.hand_out('public.memory_place', array['authenticated', 'service_role'], true);
end
$$;
