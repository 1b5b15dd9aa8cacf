-- What agents say to each other and must not be lost. Three facts, each with its time: stored (created_at), delivered (a hub
-- has it), handled (its handler finished). Without `to_agent` it is for everybody.
create table if not exists public.agent_messages (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null default federation.tenant_id() check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  id text not null check (octet_length(id) between 1 and 255),
  from_agent text not null default federation.agent_id() check (from_agent ~ '^[A-Za-z0-9._@-]{1,128}$'),
  to_agent text check (to_agent ~ '^[A-Za-z0-9._@-]{1,128}$'),
  type text not null check (octet_length(type) between 1 and 255),
  payload jsonb not null,
  created_at timestamptz not null default now(),
  delivered_at timestamptz,
  handled_at timestamptz,
  dead_at timestamptz,
  delivery_attempt integer not null default 0,
  last_error text,
  sender_seq bigint,
  instance_id text check (octet_length(instance_id) <= 255),
  hop_count integer not null default 0 check (hop_count >= 0),
  correlation_id text check (octet_length(correlation_id) <= 255),
  reply_to text check (octet_length(reply_to) <= 255),
  traceparent text check (octet_length(traceparent) <= 255),
  expires_at timestamptz,
  version bigint not null default 1,
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  unique (tenant_id, id)
);
comment on table public.agent_messages is 'Messages between agents, to one of them or to all.';
create index if not exists agent_messages_to on public.agent_messages (tenant_id, to_agent, seq);
create index if not exists agent_messages_pending on public.agent_messages (tenant_id, to_agent, seq)
  where to_agent is not null and handled_at is null and dead_at is null;
create index if not exists agent_messages_from on public.agent_messages (tenant_id, from_agent, seq);
create index if not exists agent_messages_cursor on public.agent_messages (tenant_id, tx, seq);
create index if not exists agent_messages_expiry on public.agent_messages (expires_at) where expires_at is not null;

-- The cursor stands for the message, not for its receipts: marking one as delivered must not move it behind a later one.
create or replace trigger stamp before insert on public.agent_messages
  for each row execute function federation.stamp();
create or replace trigger version before insert or update on public.agent_messages
  for each row execute function federation.count_version();

alter table public.agent_messages enable row level security;
revoke all on public.agent_messages from public, anon, authenticated, service_role;
grant select on public.agent_messages to authenticated;
grant select, insert, update, delete on public.agent_messages to service_role, federation_definer;

drop policy if exists "members read what they sent and what is for them" on public.agent_messages;
create policy "members read what they sent and what is for them" on public.agent_messages for select to authenticated
  using (
    tenant_id = (select federation.tenant_id())
    and (to_agent is null or to_agent = (select federation.agent_id()) or from_agent = (select federation.agent_id())));
drop policy if exists "functions, in the tenant they act for" on public.agent_messages;
create policy "functions, in the tenant they act for" on public.agent_messages for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

create or replace function federation.message_json(message public.agent_messages)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
      'id', message.id, 'tenant_id', message.tenant_id, 'from_agent', message.from_agent, 'type', message.type,
      'payload', message.payload, 'timestamp', message.created_at, 'reply_to', message.reply_to,
      'correlation_id', message.correlation_id, 'hop_count', message.hop_count, 'sender_seq', message.sender_seq,
      'traceparent', message.traceparent, 'delivery_attempt', message.delivery_attempt, 'seq', message.seq)
    || case when message.to_agent is null then '{}' else jsonb_build_object('to_agent', message.to_agent) end
$$;
do $$
begin
  perform federation.hand_out('federation.message_json', array['authenticated', 'service_role', 'federation_definer']);
end
$$;
