-- Postgres changes, for those who subscribe to tables: row level security decides who sees a change. Deletes show everybody
-- the primary key, which is why that is a random uuid.
do $$
declare
  wanted text;
begin
  if not exists (select from pg_publication where pubname = 'supabase_realtime') then
    create publication supabase_realtime;
  end if;
  if (select puballtables from pg_publication where pubname = 'supabase_realtime') then
    return;
  end if;
  foreach wanted in array array['agent_sessions', 'agent_memories', 'agent_tasks', 'agent_events'] loop
    if not exists (
      select from pg_publication_tables
      where pubname = 'supabase_realtime' and schemaname = 'public' and tablename = wanted) then
      execute format('alter publication supabase_realtime add table public.%I', wanted);
    end if;
  end loop;
end
$$;
