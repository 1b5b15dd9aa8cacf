-- A message to everybody may end the process that handles it, and the next one, and so on: its place does not move, so that it would be
-- told for ever. How many processes have begun to tell from a place is counted, and what lies at it is given up in the end.
alter table federation.feed_places add column if not exists starts integer not null default 0;
comment on column federation.feed_places.starts is 'How many processes have begun to tell what comes behind it.';

create or replace function public.start_feed(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  counted integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update federation.feed_places p set starts = p.starts + 1
  where p.tenant_id = who.tenant and p.agent_id = who.agent returning p.starts into counted;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return coalesce(counted, 0);
end
$$;
comment on function public.start_feed is 'A process of the acting agent begins to tell what comes behind the agent''s place; how many have since the place moved.';

-- As before; where it moves, nobody has begun.
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
      epoch = excluded.epoch, tx = excluded.tx, seq = excluded.seq, cursor = excluded.cursor, moved_at = now(), starts = 0
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

do $$
begin
  perform federation.hand_out('public.start_feed', array['authenticated', 'service_role'], true);
end
$$;
