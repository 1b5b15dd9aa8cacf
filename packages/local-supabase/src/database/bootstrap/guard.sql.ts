/**
 * On a Supabase project `postgres` may make policies on realtime.messages without owning it; plain Postgres allows that
 * to owners only. So here `postgres` owns the table, and these event triggers refuse everything else an owner could do:
 * altering or dropping it, granting on it, indexes, rules, statistics, further partitions, publishing it. They see
 * statements inside DO blocks and functions too, and `postgres` can neither drop nor disable them.
 */
export const guardSql: string = `
create or replace function realtime.guard_messages() returns event_trigger language plpgsql as $$
declare
  guarded oid;
begin
  if (select rolsuper from pg_roles where rolname = current_user)
     or pg_has_role(current_user, 'supabase_realtime_admin', 'member') then
    return;
  end if;
  if tg_event = 'sql_drop' then
    if exists (select from pg_event_trigger_dropped_objects() d
               where d.address_names[1] = 'realtime' and d.object_type <> 'policy') then
      raise exception 'must be owner of table messages' using errcode = '42501';
    end if;
    return;
  end if;
  guarded := 'realtime.messages'::regclass;
  if exists (
    select from pg_event_trigger_ddl_commands() c
    where (c.classid = 'pg_class'::regclass and c.objid = guarded)
       or (c.classid = 'pg_class'::regclass and exists (select from pg_index i where i.indexrelid = c.objid and i.indrelid = guarded))
       or (c.classid = 'pg_class'::regclass and exists (select from pg_inherits h where h.inhrelid = c.objid and h.inhparent = guarded))
       or (c.classid = 'pg_rewrite'::regclass and exists (select from pg_rewrite r where r.oid = c.objid and r.ev_class = guarded))
       or (c.classid = 'pg_statistic_ext'::regclass and exists (select from pg_statistic_ext s where s.oid = c.objid and s.stxrelid = guarded))
       or (c.classid = 'pg_publication_rel'::regclass and exists (select from pg_publication_rel p where p.oid = c.objid and p.prrelid = guarded))
  ) then
    raise exception 'must be owner of table messages' using errcode = '42501';
  end if;
  -- What GRANT and REVOKE changed is not among those commands; the list of rights is.
  if tg_tag in ('GRANT', 'REVOKE') and (
    select array_agg(entry order by entry) from (
      select format('%s:%s:%s', a.grantee::regrole, a.privilege_type, a.is_grantable) as entry
      from pg_class t, aclexplode(t.relacl) a where t.oid = guarded) held
  ) is distinct from (
    select array_agg(entry order by entry) from (
      select format('%s:%s:%s', role, privilege, false) as entry
      from unnest(array['postgres', 'anon', 'authenticated', 'service_role']) role,
           unnest(array['SELECT', 'INSERT', 'UPDATE']) privilege) allowed
  ) then
    raise exception 'permission denied for table messages' using errcode = '42501';
  end if;
end
$$;

do $$
begin
  if not exists (select from pg_event_trigger where evtname = 'guard_realtime_messages') then
    create event trigger guard_realtime_messages on ddl_command_end execute function realtime.guard_messages();
    create event trigger guard_realtime_messages_drop on sql_drop execute function realtime.guard_messages();
  end if;
end
$$;
`;
