/**
 * Schemas, who may do what in them, and the publication. Nothing in `public` is granted to the API roles by default:
 * so it is on new Supabase projects, and migrations grant what they mean to expose. Functions keep Postgres' own
 * default (anybody may execute them).
 */
export const schemasSql: string = `
do $$
begin
  -- A database that belongs to somebody else is used as it is; one of ours belongs to postgres, as on a Supabase project.
  if (select pg_get_userbyid(datdba) = session_user from pg_database where datname = current_database()) then
    execute format('alter database %I owner to postgres', current_database());
  else
    execute format('grant all on database %I to postgres', current_database());
  end if;
  execute format('alter database %I set search_path to "$user", public, extensions', current_database());
end
$$;
grant usage, create on schema public to postgres;
grant usage on schema public to anon, authenticated, service_role;

create schema if not exists extensions;
grant all on schema extensions to postgres with grant option;
grant usage on schema extensions to anon, authenticated, service_role, dashboard_user;

create schema if not exists auth;
grant usage on schema auth to postgres, anon, authenticated, service_role, dashboard_user, supabase_auth_admin;
create schema if not exists realtime;
grant usage on schema realtime to postgres, anon, authenticated, service_role, dashboard_user, supabase_realtime_admin;

do $$
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
    alter publication supabase_realtime owner to postgres;
  end if;
end
$$;
`;
