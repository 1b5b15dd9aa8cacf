-- Messages: one call stores and announces, in the caller's own transaction.

-- Stores `message`, or answers the row that an earlier try stored. 23505 when the id stands for something else.
create or replace function federation.store_message(message public.agent_messages)
returns public.agent_messages
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  stored public.agent_messages;
begin
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
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.message_json(message);
end
$$;
comment on function public.send_message is 'Stores and announces a message; the same id with the same content again answers the stored one.';

create or replace function public.pull_inbox(
  max_messages integer default 100, after_seq bigint default 0, as_agent text default null, as_tenant text default null)
returns setof jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  return query
    select federation.message_json(m) from public.agent_messages m
    where m.tenant_id = who.tenant and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.seq > coalesce(after_seq, 0) and (m.expires_at is null or m.expires_at > now())
    order by m.seq
    limit federation.check_rows(max_messages);
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
end
$$;
comment on function public.pull_inbox is 'The acting agent''s messages that are not handled, oldest first.';

create or replace function public.mark_messages(
  ids text[], state text, as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  changed integer;
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
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return changed;
end
$$;
comment on function public.mark_messages is 'Marks messages to the acting agent as delivered or handled; answers how many changed.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.store_message', array['federation_definer']);
  perform federation.hand_out('public.send_message', members, true);
  perform federation.hand_out('public.pull_inbox', members);
  perform federation.hand_out('public.mark_messages', members, true);
end
$$;
