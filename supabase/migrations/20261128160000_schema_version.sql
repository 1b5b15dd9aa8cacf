-- breaking
-- Feeds that are read by a cursor, and tasks that end and are claimed in one call: a database of schema 2 does not know the functions.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 3 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
