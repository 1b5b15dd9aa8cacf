-- A delivery is counted before its handler begins, and by then another process of the agent may have taken over, or this one have ended:
-- what nobody was called for is taken back, so that a message has all its deliveries before it is a dead letter.

create or replace function public.undo_deliveries(ids text[], as_agent text default null, as_tenant text default null)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  undone integer;
  more integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if cardinality(ids) > 10000 then
    raise exception 'ids: expected at most 10000, got %', cardinality(ids) using errcode = '22023';
  end if;
  with wanted as (
    select m.row_id from public.agent_messages m
    where m.tenant_id = who.tenant and m.id = any (ids) and m.to_agent = who.agent and m.handled_at is null and m.dead_at is null
      and m.delivery_attempt > 0
    order by m.row_id for update)
  update public.agent_messages m set delivery_attempt = m.delivery_attempt - 1
  from wanted w where m.row_id = w.row_id;
  get diagnostics undone = row_count;
  update public.agent_message_failures f set delivery_attempt = f.delivery_attempt - 1
  from public.agent_messages m
  where m.row_id = f.message_row and m.id = any (ids) and f.tenant_id = who.tenant and f.agent_id = who.agent and f.dead_at is null
    and f.delivery_attempt > 0;
  get diagnostics more = row_count;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return undone + more;
end
$$;
comment on function public.undo_deliveries is 'Takes back deliveries to the acting agent that were counted and did not take place; how many.';

do $$
begin
  perform federation.hand_out('public.undo_deliveries', array['authenticated', 'service_role'], true);
end
$$;
