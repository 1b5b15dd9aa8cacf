-- breaking
-- Hubs take back with undo_deliveries() what they counted and did not deliver, and stores of this machine read whose a session is from
-- session_agent: a database of schema 6 knows neither.
create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 7 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
