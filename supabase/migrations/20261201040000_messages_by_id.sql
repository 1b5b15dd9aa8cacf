-- Messages that a call names are looked up one by one, by a plan that is made once: that a call may name few messages or many made each
-- plan its statements anew, which was half of what it cost.

-- As before.
create or replace function public.mark_messages(
  ids text[], state text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
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
  with named as (
    select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
      select a.row_id, a.to_agent from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
    where m.to_agent = who.agent
    order by m.row_id),
  wanted as (
    select m.row_id from named n, lateral (
      select a.row_id from public.agent_messages a
      where a.row_id = n.row_id and case state when 'delivered' then a.delivered_at is null else a.handled_at is null end
      for update) m)
  update public.agent_messages m set
    delivered_at = coalesce(m.delivered_at, now()),
    handled_at = case state when 'handled' then now() else m.handled_at end
  from wanted w where m.row_id = w.row_id;
  get diagnostics changed = row_count;
  if state = 'handled' and exists (
    select from public.agent_message_failures f where f.tenant_id = who.tenant and f.agent_id = who.agent)
  then
    for message in
      with named as (
        select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
          select a.row_id from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
        where exists (select from public.agent_message_failures f where f.message_row = m.row_id and f.agent_id = who.agent)
        order by m.row_id)
      select m.* from named n, lateral (select a.* from public.agent_messages a where a.row_id = n.row_id for update) m
    loop
      delete from public.agent_message_failures f where f.message_row = message.row_id and f.agent_id = who.agent;
      continue when not found; -- another process of the agent was faster
      perform federation.tell_broadcast(message);
      changed := changed + 1;
    end loop;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$$;

-- As before.
create or replace function public.deliver_messages(
  ids text[], max_deliveries integer default 5, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
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
    with named as (
      select m.row_id from (select distinct i.id from unnest(ids) i(id)) i, lateral (
        select a.row_id, a.to_agent from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
      where m.to_agent = who.agent
      order by m.row_id),
    wanted as (
      select m.row_id from named n, lateral (
        select a.row_id from public.agent_messages a
        where a.row_id = n.row_id and a.handled_at is null and a.dead_at is null and coalesce(a.expires_at > now(), true)
        for update) m)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  if exists (select from public.agent_message_failures f where f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null) then
    return query
      update public.agent_message_failures f set
        delivery_attempt = least(f.delivery_attempt + 1, max_deliveries),
        dead_at = case when f.delivery_attempt >= max_deliveries then now() end
      from (select distinct i.id from unnest(ids) i(id)) i, lateral (
        select a.row_id, a.id, a.expires_at from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
      where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null and coalesce(m.expires_at > now(), true)
      returning jsonb_build_object('id', m.id, 'delivery_attempt', f.delivery_attempt, 'dead', f.dead_at is not null);
  end if;
  return query
    select jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', true, 'expired', true)
    from (select distinct i.id from unnest(ids) i(id)) i, lateral (
      select a.* from public.agent_messages a where a.tenant_id = who.tenant and a.id = i.id offset 0) m
    where m.handled_at is null and m.dead_at is null and m.expires_at <= now()
      and (m.to_agent = who.agent or exists (
        select from public.agent_message_failures f
        where f.message_row = m.row_id and f.agent_id = who.agent and f.dead_at is null));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;

-- As before; the one message that most statements store goes straight to the announcement.
create or replace function federation.tell_messages()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  box record;
begin
  for box in
    with stored as materialized (
      select n.tenant_id, n.to_agent, n.id, n.seq, federation.message_json(n) as message
      from new_rows n where coalesce(n.expires_at > clock_timestamp(), true))
    select 'federation:' || s.tenant_id || coalesce(':agent:' || s.to_agent, ':feed') as topic,
      jsonb_agg(case when octet_length(s.message::text) > 200000 then jsonb_build_object('id', s.id) else s.message end
        order by s.seq) as messages
    from stored s group by s.tenant_id, s.to_agent
  loop
    perform federation.announce(box.topic, 'message', case
      when jsonb_array_length(f.frame) > 1 then jsonb_build_object('messages', f.frame)
      when f.frame -> 0 ? 'from_agent' then jsonb_build_object('message', f.frame -> 0)
      else f.frame -> 0 end)
    from (
      select box.messages where jsonb_array_length(box.messages) = 1
      union all select f.frame from federation.frames_of(box.messages) f(frame) where jsonb_array_length(box.messages) > 1) f(frame);
  end loop;
  insert into public.agent_events (tenant_id, agent_id, kind, subject, peer)
  select n.tenant_id, n.from_agent, 'message_stored', n.id, n.to_agent from new_rows n order by n.seq;
  return null;
end
$$;
