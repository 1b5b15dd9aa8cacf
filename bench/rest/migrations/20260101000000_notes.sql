-- What `npm run bench:rest` works on: rows of a tenant behind a policy as an application would write it.
create schema if not exists extensions;
create extension if not exists vector with schema extensions;

create table public.notes (
  id bigint generated always as identity primary key,
  tenant_id text not null default (auth.jwt() -> 'app_metadata' ->> 'tenant_id'),
  title text not null,
  done boolean not null default false,
  position integer not null,
  created_at timestamptz not null default now()
);
comment on table public.notes is 'Small rows of one tenant.';
create index notes_of_tenant on public.notes (tenant_id, id);

create table public.passages (
  id bigint generated always as identity primary key,
  tenant_id text not null default (auth.jwt() -> 'app_metadata' ->> 'tenant_id'),
  content text not null,
  embedding extensions.vector(384) not null
);
comment on table public.passages is 'Rows with an embedding, without an index on it.';

alter table public.notes enable row level security;
alter table public.passages enable row level security;
create policy own_tenant on public.notes for all to authenticated
  using (tenant_id = (select auth.jwt() -> 'app_metadata' ->> 'tenant_id'))
  with check (tenant_id = (select auth.jwt() -> 'app_metadata' ->> 'tenant_id'));
create policy own_tenant on public.passages for all to authenticated
  using (tenant_id = (select auth.jwt() -> 'app_metadata' ->> 'tenant_id'))
  with check (tenant_id = (select auth.jwt() -> 'app_metadata' ->> 'tenant_id'));
grant select, insert, update, delete on public.notes, public.passages to authenticated;

-- Reads and writes under the caller's policies, as an application's function would.
create function public.finish_note(note_id bigint) returns integer
language sql
security invoker
set search_path = ''
as $$
  update public.notes set done = true where id = note_id;
  select count(*)::integer from public.notes where id between note_id - 50 and note_id and done;
$$;
revoke all on function public.finish_note(bigint) from public, anon;
grant execute on function public.finish_note(bigint) to authenticated;
