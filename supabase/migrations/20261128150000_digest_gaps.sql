-- A digest names the newest change of the one before it, so that whoever did not hear that one knows, and reads.
alter table federation.upkeep add column if not exists told_seq bigint not null default 0;
comment on table federation.upkeep is 'When a tenant was swept, when its sessions were told last, and up to which change.';

-- Tells what waits, unless that was done less than 0.6 seconds ago or somebody is at it. Returns after how many milliseconds it may
-- be done; null when nothing waits. Frames stay under 200 kB.
create or replace function federation.tell_sessions(tenant text)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  due_ms integer;
  change record;
  after_seq bigint;
  told jsonb[] := '{}';
  newest_seq bigint;
  told_bytes integer := 0;
begin
  if not exists (select from federation.session_news n where n.tenant_id = tenant) then
    return null;
  end if;
  select ceil(600 - extract(epoch from clock_timestamp() - u.told_at) * 1000) into due_ms
  from federation.upkeep u where u.tenant_id = tenant and u.told_at > clock_timestamp() - interval '600 milliseconds';
  if due_ms > 0 then
    return due_ms;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.tell_sessions ' || tenant, 0)) then
    return 600;
  end if;
  insert into federation.upkeep as u (tenant_id, told_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set told_at = excluded.told_at
  returning u.told_seq into after_seq;
  newest_seq := after_seq;
  for change in
    with news as (
      delete from federation.session_news n where n.news_id in (
        select w.news_id from federation.session_news w where w.tenant_id = tenant
        order by w.news_id limit 5000 for update skip locked)
      returning n.session_id)
    select s.seq, federation.session_news_json(s) as session from public.agent_sessions s
    where s.tenant_id = tenant and s.session_id in (select n.session_id from news n)
    order by s.seq
  loop
    if told_bytes + octet_length(change.session::text) > 199000 then
      perform federation.announce('federation:' || tenant || ':feed', 'sessions',
        jsonb_build_object('sessions', to_jsonb(told), 'after', after_seq));
      after_seq := newest_seq;
      told := '{}';
      told_bytes := 0;
    end if;
    told := told || change.session;
    newest_seq := greatest(newest_seq, change.seq);
    told_bytes := told_bytes + octet_length(change.session::text) + 2;
  end loop;
  if cardinality(told) > 0 then
    perform federation.announce('federation:' || tenant || ':feed', 'sessions',
      jsonb_build_object('sessions', to_jsonb(told), 'after', after_seq));
  end if;
  update federation.upkeep u set told_seq = newest_seq where u.tenant_id = tenant;
  return (select 600 from federation.session_news n where n.tenant_id = tenant limit 1);
end
$$;
comment on function federation.tell_sessions(text) is 'Tells a large room what changed, at most every 0.6 seconds; when it may be done again.';
