-- What a replica wrote itself need not come back with its content, most of which is its embedding: pull_changes() leaves it out.

-- A page of pull_memories() or pull_changes(). A sequence is handed out before the commit, so "greater than the last I saw" would lose
-- rows. Every transaction below `horizon` has ended, so what it wrote is seen or never will be.
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
           and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent)
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
          and (k.scope <> 'agent' or who.agent is null or k.agent_id = who.agent))
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

create or replace function public.pull_memories(
  cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$ begin return federation.pull_page(null, cursor, max_rows, max_bytes, as_agent, as_tenant); end $$;
comment on function public.pull_memories is 'What changed in the tenant''s memories since a cursor, in the order of change, and the next cursor.';

create or replace function public.pull_changes(
  writer text, cursor text default null, max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$ begin return federation.pull_page(writer, cursor, max_rows, max_bytes, as_agent, as_tenant); end $$;
comment on function public.pull_changes is 'As pull_memories(), without the content of what `writer` wrote last.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.pull_page', members);
  perform federation.hand_out('public.pull_changes', members);
end
$$;
