-- Only for the benchmark: ended tasks by the ten thousand, without telling anybody.
create or replace function public.bench_archive_tasks(tenant text, first integer, many integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('federation.quiet', 'on', true);
  insert into public.agent_tasks (
    tenant_id, task_id, assigned_by, assigned_to, description, status, content_hash, attempt, started_at, ended_at, result)
  select tenant, 'archived-' || n, 'archive', 'archive', 'done long ago', 'completed', md5(n::text), 1, now(), now(), '{}'
  from generate_series(first, first + many - 1) n;
end
$$;
-- What a server does by itself within a minute.
create or replace function public.bench_analyze()
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  analyze public.agent_tasks, public.agent_task_queue, public.agent_messages;
end
$$;
revoke all on function public.bench_analyze() from public, anon, authenticated;
grant execute on function public.bench_analyze() to service_role;
revoke all on function public.bench_archive_tasks(text, integer, integer) from public, anon, authenticated;
grant execute on function public.bench_archive_tasks(text, integer, integer) to service_role;
