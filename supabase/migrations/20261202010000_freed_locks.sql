-- A lock whose holder died frees when its time is over, and nobody was told. The next sweep tells, as whoever lets a lock go does.
comment on table public.agent_locks is 'Locks that are held, or have run out and were not swept yet.';

create or replace function federation.sweep(tenant text, at_once boolean default false)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  done jsonb := '{}';
  looked_at timestamptz;
  removed integer;
  forgotten integer;
  lock public.agent_locks;
begin
  if not at_once and exists (
    select from federation.upkeep u where u.tenant_id = tenant and u.swept_at > clock_timestamp() - interval '1 second') then
    return done;
  end if;
  if not pg_try_advisory_xact_lock(hashtextextended('federation.sweep ' || tenant, 0)) then
    return done;
  end if;
  insert into federation.upkeep as u (tenant_id, swept_at) values (tenant, clock_timestamp())
  on conflict (tenant_id) do update set swept_at = excluded.swept_at
  returning u.messages_at into looked_at;
  done := jsonb_build_object(
    'sessions', federation.end_silent_sessions(tenant), 'tasks', federation.release_tasks(tenant));
  for lock in
    delete from public.agent_locks l where l.row_id in (
      select d.row_id from public.agent_locks d where d.tenant_id = tenant and d.expires_at < clock_timestamp()
      order by d.expires_at limit 500 for update skip locked)
    returning l.*
  loop
    perform federation.announce('federation:' || tenant || ':feed', 'lock', jsonb_build_object(
      'name', lock.name, 'state', 'freed', 'holder', lock.holder, 'fence', lock.fence));
  end loop;
  if looked_at < clock_timestamp() - interval '1 minute' then
    removed := federation.remove_old_messages(tenant, 1000);
    forgotten := federation.remove_old_events(tenant, 1000);
    if removed < 1000 and forgotten < 1000 then
      update federation.upkeep u set messages_at = clock_timestamp() where u.tenant_id = tenant;
    end if;
    done := done || jsonb_build_object('messages', removed, 'events', forgotten);
  end if;
  perform federation.tell_sessions(tenant);
  return done;
end
$$;

do $$
begin
  perform federation.hand_out('federation.sweep', array['federation_definer']);
end
$$;
