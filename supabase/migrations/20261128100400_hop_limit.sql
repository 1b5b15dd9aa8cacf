-- Loops are stopped whoever sends: an answer is one hop further than what it answers, whatever its sender counts, and a chain of
-- messages that is longer than the limit is refused. A hub has limits of its own beside it.
alter table federation.sync_settings add column if not exists max_hops integer not null default 32 check (max_hops between 1 and 1000000);
comment on table federation.sync_settings is
  'One row: what cursors of this database begin with, how long tombstones and messages stay, how long a chain of messages may be.';

create or replace function public.limit_hops(hops integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if hops is null or hops not between 1 and 1000000 then
    raise exception 'hops: expected 1 to 1000000, got %', coalesce(hops::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set max_hops = hops;
end
$$;
comment on function public.limit_hops is 'How many messages may lead to a message, each in answer to the last or sent by its handler.';

-- As before; an answer inherits from what it answers, where its sender can know that.
create or replace function federation.store_message(message public.agent_messages)
returns public.agent_messages
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stored public.agent_messages;
  asked record;
  max_hops integer;
begin
  if message.reply_to is not null then
    select m.hop_count, coalesce(m.correlation_id, m.id) as correlation_id into asked from public.agent_messages m
    where m.tenant_id = message.tenant_id and m.id = message.reply_to
      and (m.to_agent is null or message.from_agent in (m.to_agent, m.from_agent));
    message.hop_count := greatest(message.hop_count, asked.hop_count + 1);
    message.correlation_id := coalesce(message.correlation_id, asked.correlation_id);
  end if;
  if message.hop_count > 0 then
    select s.max_hops into max_hops from federation.sync_settings s;
    if message.hop_count > max_hops then
      raise exception 'hop_count: % messages led to this one, the limit is %', message.hop_count, max_hops using errcode = '53400',
        hint = 'End the exchange, or have a service raise the limit: select public.limit_hops(…).';
    end if;
  end if;
  insert into public.agent_messages (
    tenant_id, id, from_agent, to_agent, type, payload, reply_to, correlation_id, hop_count, sender_seq, instance_id,
    traceparent, expires_at)
  values (
    message.tenant_id, message.id, message.from_agent, message.to_agent, message.type, message.payload, message.reply_to,
    message.correlation_id, message.hop_count, message.sender_seq, message.instance_id, message.traceparent, message.expires_at)
  on conflict (tenant_id, id) do nothing
  returning * into stored;
  if stored.row_id is not null then
    return stored;
  end if;
  select * into stored from public.agent_messages m where m.tenant_id = message.tenant_id and m.id = message.id;
  if (stored.from_agent, stored.to_agent, stored.type, stored.payload, stored.reply_to) is distinct from
     (message.from_agent, message.to_agent, message.type, message.payload, message.reply_to) then
    raise exception 'message % exists already, with other content', quote_literal(message.id) using errcode = '23505',
      hint = 'An id stands for one message; use it again only to repeat that message.';
  end if;
  return stored;
end
$$;

do $$
begin
  perform federation.hand_out('public.limit_hops', array['service_role'], true);
end
$$;
