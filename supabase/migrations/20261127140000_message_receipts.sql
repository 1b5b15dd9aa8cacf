-- How far a message got: receipts for who sent it, deliveries counted, dead letters, replies found again after a restart.
alter table public.agent_messages add column if not exists receipts boolean not null default false;
comment on column public.agent_messages.receipts is 'Whether the sender is told when it is delivered, handled or dead.';
create index if not exists agent_messages_replies on public.agent_messages (tenant_id, reply_to) where reply_to is not null;
create index if not exists agent_messages_dead on public.agent_messages (tenant_id, to_agent, seq) where dead_at is not null;

-- Whoever gets a receipt believes it, so receipts come from the facts alone.
alter table public.agent_messages drop constraint if exists receipts_are_not_sent;
alter table public.agent_messages add constraint receipts_are_not_sent check (type <> 'receipt') not valid;

create or replace function federation.receipt_json(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'id', message.id, 'to_agent', message.to_agent, 'type', message.type, 'stored_at', message.created_at,
    'delivered_at', message.delivered_at, 'handled_at', message.handled_at, 'dead_at', message.dead_at,
    'delivery_attempt', message.delivery_attempt, 'last_error', message.last_error)
$$;

-- Told in the sender's inbox, in the transaction that changed the fact.
create or replace function federation.tell_receipt()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if new.receipts and (old.delivered_at, old.handled_at, old.dead_at) is distinct from (new.delivered_at, new.handled_at, new.dead_at) then
    perform federation.announce(
      'federation:' || new.tenant_id || ':agent:' || new.from_agent, 'receipt', federation.receipt_json(new));
  end if;
  return null;
end
$$;
create or replace trigger tell_receipt after update of delivered_at, handled_at, dead_at on public.agent_messages
  for each row when (new.receipts) execute function federation.tell_receipt();

create or replace function public.ask_receipts(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  receipt jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set receipts = true
  where m.tenant_id = who.tenant and m.id = ask_receipts.id and m.from_agent = who.agent
  returning federation.receipt_json(m) into receipt;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  if receipt is null then
    raise exception 'no message % of this sender', quote_literal(ask_receipts.id) using errcode = 'P0002';
  end if;
  return receipt;
end
$$;
comment on function public.ask_receipts is 'From now on the acting agent is told how far its message gets; answers how far it has got.';

-- Counts a delivery before the handler begins, so that a message whose handler kills its process is counted, too.
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
      order by m.row_id for update)
    update public.agent_messages m set
      delivered_at = coalesce(m.delivered_at, now()),
      delivery_attempt = least(m.delivery_attempt + 1, max_deliveries),
      dead_at = case when m.delivery_attempt >= max_deliveries then now() end,
      last_error = case when m.delivery_attempt >= max_deliveries and m.last_error is null
        then format('delivered %s times, and no handler came to its end', m.delivery_attempt) else m.last_error end
    from wanted w where m.row_id = w.row_id
    returning jsonb_build_object('id', m.id, 'delivery_attempt', m.delivery_attempt, 'dead', m.dead_at is not null);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.deliver_messages is 'Counts a delivery of messages to the acting agent; those that had max_deliveries become dead letters.';

create or replace function public.fail_message(
  id text, error text, dead boolean default false, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set
    last_error = left(coalesce(fail_message.error, 'no reason given'), 2000),
    delivered_at = coalesce(m.delivered_at, now()),
    dead_at = case when fail_message.dead then now() end
  where m.tenant_id = who.tenant and m.id = fail_message.id and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null;
  get diagnostics changed = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed > 0;
end
$$;
comment on function public.fail_message is 'Notes why a handler failed; with dead, the message is a dead letter and not delivered any more.';

create or replace function public.requeue_message(id text, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  update public.agent_messages m set dead_at = null, delivery_attempt = 0
  where m.tenant_id = who.tenant and m.id = requeue_message.id and m.to_agent = who.agent and m.dead_at is not null;
  get diagnostics changed = row_count;
  if changed > 0 then
    perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'message', jsonb_build_object('id', requeue_message.id));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed > 0;
end
$$;
comment on function public.requeue_message is 'Takes a message to the acting agent out of its dead letters: it is delivered again.';

create or replace function federation.message_facts(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select federation.message_json(message) || federation.receipt_json(message) || jsonb_build_object('expires_at', message.expires_at) $$;

create or replace function public.get_message(id text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  found_one jsonb;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  select federation.message_facts(m) into found_one from public.agent_messages m
  where m.tenant_id = who.tenant and m.id = get_message.id
    and (m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return found_one;
end
$$;
comment on function public.get_message is 'A message that the acting agent sent or may read, with how far it got; null when there is none.';

-- `filter`: box ("inbox", "sent", "all"), state ("waiting", "delivered", "handled", "dead"), type, peer, reply_to, before_seq.
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
    select federation.message_facts(m) from public.agent_messages m
    where m.tenant_id = who.tenant
      and case box
        when 'inbox' then m.to_agent = who.agent
        when 'sent' then m.from_agent = who.agent
        else m.to_agent is null or m.to_agent = who.agent or m.from_agent = who.agent end
      and case state
        when 'waiting' then m.to_agent is not null and m.delivered_at is null and m.dead_at is null
        when 'delivered' then m.delivered_at is not null and m.handled_at is null and m.dead_at is null
        when 'handled' then m.handled_at is not null
        when 'dead' then m.dead_at is not null
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
comment on function public.list_messages is 'Messages that the acting agent sent or may read, newest first; page with before_seq.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.receipt_json', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('federation.message_facts', array['authenticated', 'service_role', 'federation_definer']);
  perform federation.hand_out('federation.tell_receipt', '{}', true);
  perform federation.hand_out('public.ask_receipts', members, true);
  perform federation.hand_out('public.deliver_messages', members, true);
  perform federation.hand_out('public.fail_message', members, true);
  perform federation.hand_out('public.requeue_message', members, true);
  perform federation.hand_out('public.get_message', members);
  perform federation.hand_out('public.list_messages', members);
end
$$;
