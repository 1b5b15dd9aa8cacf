-- breaking
-- Hubs keep with memory_place() how far they heard of memories: a database of schema 5 does not know the function.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 6 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
