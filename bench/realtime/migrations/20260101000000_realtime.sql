-- What `npm run bench:realtime` works on: topics behind policies, rows whose changes are published, rows beside.
create policy bench_read on realtime.messages for select to authenticated using (realtime.topic() like 'private:%');
create policy bench_write on realtime.messages for insert to authenticated with check (realtime.topic() like 'private:%');

create table public.changes (
  id bigint generated always as identity primary key,
  body text not null
);
comment on table public.changes is 'Rows whose changes are published.';
alter publication supabase_realtime add table public.changes;

create table public.notes (
  id bigint generated always as identity primary key,
  title text not null,
  position integer not null
);
comment on table public.notes is 'Rows that are written while others speak.';

alter table public.changes enable row level security;
alter table public.notes enable row level security;
create policy all_of_it on public.changes for all to authenticated using (true) with check (true);
create policy all_of_it on public.notes for all to authenticated using (true) with check (true);
grant select, insert on public.changes, public.notes to authenticated;

create function public.announce(topic text, message jsonb) returns void
language sql
security definer
set search_path = ''
as $$ select realtime.send(message, 'm', topic, false) $$;
revoke all on function public.announce(text, jsonb) from public, anon;
grant execute on function public.announce(text, jsonb) to authenticated;
