-- Several processes of one agent: whose turn it is to handle the agent's messages.
create table if not exists federation.inbox_turns (
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  agent_id text not null check (agent_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  session_id text not null,
  -- Another process asked whether the holder is still there, and it has not answered yet.
  asked_at timestamptz,
  primary key (tenant_id, agent_id),
  foreign key (tenant_id, session_id) references public.agent_sessions (tenant_id, session_id) on delete cascade
);
comment on table federation.inbox_turns is 'Which process of an agent handles its messages.';
create index if not exists inbox_turns_session on federation.inbox_turns (tenant_id, session_id);

alter table federation.inbox_turns enable row level security;
revoke all on federation.inbox_turns from public, anon, authenticated, service_role;
grant select, insert, update on federation.inbox_turns to federation_definer;
drop policy if exists "functions, in the tenant they act for" on federation.inbox_turns;
create policy "functions, in the tenant they act for" on federation.inbox_turns for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

-- The turn stays with its holder for as long as that lives. A newcomer cannot know whether it does: a killed process keeps its
-- session until that has been silent for its timeout. So it is asked, in the agent's inbox, and has a second to answer.
create or replace function public.take_inbox(
  session_id text, asked boolean default false, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  holder record;
  ask_again_ms integer;
  is_first boolean := false;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('session_id', take_inbox.session_id, 255);
  perform pg_advisory_xact_lock(hashtextextended('federation.take_inbox ' || who.tenant || ' ' || who.agent, 0));
  if not exists (
    select from public.agent_sessions s
    where s.tenant_id = who.tenant and s.session_id = take_inbox.session_id and s.agent_id = who.agent and s.ended_at is null) then
    raise exception 'no open session % of this agent', quote_literal(take_inbox.session_id) using errcode = 'P0002';
  end if;
  select t.session_id, t.asked_at into holder
  from federation.inbox_turns t join public.agent_sessions s on s.tenant_id = t.tenant_id and s.session_id = t.session_id
  where t.tenant_id = who.tenant and t.agent_id = who.agent and s.ended_at is null
    and s.last_seen_at >= now() - make_interval(secs => s.timeout_seconds);
  if holder.session_id is null or holder.session_id = take_inbox.session_id
    or holder.asked_at < clock_timestamp() - interval '1 second' then
    insert into federation.inbox_turns as t (tenant_id, agent_id, session_id, asked_at)
    values (who.tenant, who.agent, take_inbox.session_id, null)
    on conflict (tenant_id, agent_id) do update set session_id = excluded.session_id, asked_at = null;
    is_first := true;
  elsif not coalesce(asked, false) or holder.asked_at is not null then
    if holder.asked_at is null then
      update federation.inbox_turns t set asked_at = clock_timestamp() where t.tenant_id = who.tenant and t.agent_id = who.agent;
      perform federation.announce('federation:' || who.tenant || ':agent:' || who.agent, 'inbox_asked',
        jsonb_build_object('session_id', holder.session_id));
    end if;
    ask_again_ms := greatest(1, ceil(1001 - coalesce(extract(epoch from clock_timestamp() - holder.asked_at), 0) * 1000));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return jsonb_build_object('first', is_first, 'ask_again_ms', ask_again_ms);
end
$$;
comment on function public.take_inbox is 'Whether this session is the one that handles the agent''s messages; asks the one that does, and takes over when it does not answer.';

do $$
begin
  perform federation.hand_out('public.take_inbox', array['authenticated', 'service_role'], true);
end
$$;
