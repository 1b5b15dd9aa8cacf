-- Reading the messages that were missed, by the cursor that pull_memories() has: safe beside transactions that are still open, and
-- under a restored database. A position in the one sequence is neither.

create index if not exists agent_messages_feed on public.agent_messages (tenant_id, tx, seq) where to_agent is null;

-- A cursor is epoch:tx:seq. One that was given out for "from now on" goes on with the snapshot of that moment: what was visible then
-- is not missed, though a transaction that was open then keeps the line below it.
create or replace function public.pull_messages(
  cursor text default null, box text default 'feed', max_rows integer default 500, max_bytes integer default 1000000,
  as_agent text default null, as_tenant text default null)
returns json
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  given text[] := string_to_array(cursor, ':');
  epoch text := federation.epoch();
  moment pg_snapshot := pg_current_snapshot();
  -- Every transaction below has ended, so what it wrote is seen or never will be.
  horizon xid8 := pg_snapshot_xmin(moment);
  after_tx xid8;
  after_seq bigint := 0;
  since pg_snapshot;
  is_more boolean := false;
  is_held_back boolean := false;
  page record;
  answer json;
begin
  if box is null or box not in ('feed', 'inbox') then
    raise exception 'box: expected feed or inbox, got %', coalesce(quote_literal(left(box, 150)), 'nothing') using errcode = '22023';
  end if;
  select * into who from federation.act_as(as_agent, as_tenant, case box when 'inbox' then 'agent' else 'tenant' end);
  max_rows := greatest(1, federation.check_rows(max_rows));
  if cursor is null then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat_ws(':', epoch, horizon, 0, moment), 'done', true, 'held_back', false,
      'reset', false, 'server_time', clock_timestamp());
  elsif cursor !~ '^[0-9a-f]{32}:[0-9]{1,18}:[0-9]{1,18}(:[0-9]{1,18}:[0-9]{1,18}:[0-9,]*)?$' or given[1] <> epoch
    or given[2]::xid8 > pg_snapshot_xmax(moment) then
    answer := json_build_object('rows', '[]'::json, 'cursor', concat(epoch, ':0:0'), 'done', false, 'held_back', false,
      'reset', true, 'server_time', clock_timestamp());
  else
    after_tx := given[2];
    after_seq := given[3];
    since := nullif(array_to_string(given[4:], ':'), '');
    with rows as (
      select c.tx, c.seq, c.message, row_number() over earlier as place, sum(octet_length(c.message)) over earlier as bytes
      from (
        (select m.tx, m.seq, federation.message_json(m)::text as message from public.agent_messages m
         where box = 'feed' and m.tenant_id = who.tenant and m.to_agent is null and (m.tx, m.seq) > (after_tx, after_seq) and m.tx < horizon
           and (since is null or not pg_visible_in_snapshot(m.tx, since)) and (m.expires_at is null or m.expires_at > now())
         order by m.tx, m.seq limit max_rows + 1)
        union all
        (select m.tx, m.seq, federation.message_json(m)::text from public.agent_messages m
         where box = 'inbox' and m.tenant_id = who.tenant and m.to_agent = who.agent and (m.tx, m.seq) > (after_tx, after_seq)
           and m.tx < horizon and m.dead_at is null
           and (since is null or not pg_visible_in_snapshot(m.tx, since)) and (m.expires_at is null or m.expires_at > now())
         order by m.tx, m.seq limit max_rows + 1)) c
      window earlier as (order by c.tx, c.seq rows unbounded preceding)),
    page as (
      select r.*, r.place <= max_rows and (r.place = 1 or r.bytes <= max_bytes) as is_in from rows r)
    select bool_or(not p.is_in) as is_cut,
      (array_agg(p.tx order by p.place desc) filter (where p.is_in))[1] as tx,
      (array_agg(p.seq order by p.place desc) filter (where p.is_in))[1] as seq,
      string_agg(case when p.is_in then p.message end, ',' order by p.place) as messages
    into page from page p;
    is_more := coalesce(page.is_cut, false);
    is_held_back := not is_more and (
      exists (
        select from public.agent_messages m
        where box = 'feed' and m.tenant_id = who.tenant and m.to_agent is null and (m.tx, m.seq) > (horizon, 0::bigint)
          and (since is null or not pg_visible_in_snapshot(m.tx, since)))
      or exists (
        select from public.agent_messages m
        where box = 'inbox' and m.tenant_id = who.tenant and m.to_agent = who.agent and (m.tx, m.seq) > (horizon, 0::bigint)
          and (since is null or not pg_visible_in_snapshot(m.tx, since))));
    after_tx := coalesce(page.tx, after_tx);
    after_seq := coalesce(page.seq, after_seq);
    if not is_more and horizon > after_tx then
      after_tx := horizon;
      after_seq := 0;
    end if;
    if after_tx >= pg_snapshot_xmax(since) then
      since := null; -- nothing behind was visible then
    end if;
    answer := concat(
      '{"rows": [', page.messages, '], "cursor": ', to_json(concat_ws(':', epoch, after_tx, after_seq, since)),
      ', "done": ', (not is_more)::text, ', "held_back": ', is_held_back::text, ', "reset": false, "server_time": ',
      to_json(clock_timestamp()), '}')::json;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return answer;
end
$$;
comment on function public.pull_messages is 'Messages to everybody, or to the acting agent, since a cursor, in the order of their transactions, and the next cursor.';

do $$
begin
  perform federation.hand_out('public.pull_messages', array['authenticated', 'service_role']);
end
$$;
