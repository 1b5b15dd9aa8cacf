-- breaking
-- Replicas pull with pull_changes(): a database of schema 4 does not know the function.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 5 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
