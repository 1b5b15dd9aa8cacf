-- breaking
-- Messages with receipts, tasks with leases, locks, and sessions that are swept: a library of schema 1 does not call what they need.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 2 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
