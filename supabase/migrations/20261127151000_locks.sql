-- Named locks: a lease on any name in the tenant, so that two agents do not edit one file at once. Whoever holds one is told when it is
-- renewed too late; a fence that grows with every holder lets what the lock protects refuse who came too late as well.

create table if not exists public.agent_locks (
  row_id uuid primary key default gen_random_uuid(),
  tenant_id text not null check (tenant_id ~ '^[A-Za-z0-9._@-]{1,128}$'),
  name text not null check (octet_length(name) between 1 and 1024),
  holder text not null check (holder ~ '^[A-Za-z0-9._@-]{1,128}$'),
  instance_id text not null check (octet_length(instance_id) between 1 and 255),
  -- Grows with every holder: whatever the lock protects can refuse what comes with an older one.
  fence bigint not null,
  taken_at timestamptz not null default now(),
  expires_at timestamptz not null,
  unique (tenant_id, name)
);
comment on table public.agent_locks is 'Locks that are held, or have run out and were not taken since.';
create index if not exists agent_locks_age on public.agent_locks (expires_at);
create sequence if not exists federation.lock_fence as bigint;
revoke all on sequence federation.lock_fence from public, anon, authenticated, service_role;
grant usage on sequence federation.lock_fence to federation_definer;

alter table public.agent_locks enable row level security;
revoke all on public.agent_locks from public, anon, authenticated, service_role;
grant select on public.agent_locks to authenticated;
grant select, insert, update, delete on public.agent_locks to service_role, federation_definer;
drop policy if exists "members read" on public.agent_locks;
create policy "members read" on public.agent_locks for select to authenticated
  using (tenant_id = (select federation.tenant_id()));
drop policy if exists "functions, in the tenant they act for" on public.agent_locks;
create policy "functions, in the tenant they act for" on public.agent_locks for all to federation_definer
  using (tenant_id = (select federation.tenant_id())) with check (tenant_id = (select federation.tenant_id()));

create or replace function federation.lock_json(lock public.agent_locks)
returns jsonb
language sql stable
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'name', lock.name, 'holder', lock.holder, 'instance_id', lock.instance_id, 'fence', lock.fence, 'taken_at', lock.taken_at,
    'expires_at', lock.expires_at, 'left_ms', greatest(0, ceil(extract(epoch from lock.expires_at - clock_timestamp()) * 1000)))
$$;

create or replace function public.take_lock(
  name text, instance_id text, ttl_ms integer default 30000, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  lock public.agent_locks;
  until timestamptz;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  perform federation.check_text('name', take_lock.name, 1024), federation.check_text('instance_id', take_lock.instance_id, 255);
  if take_lock.ttl_ms is null or take_lock.ttl_ms not between 100 and 86400000 then
    raise exception 'ttl_ms: expected 100 to 86400000, got %', coalesce(take_lock.ttl_ms::text, 'nothing') using errcode = '22023';
  end if;
  until := clock_timestamp() + take_lock.ttl_ms * interval '1 millisecond';
  insert into public.agent_locks as l (tenant_id, name, holder, instance_id, fence, expires_at)
  values (who.tenant, take_lock.name, who.agent, take_lock.instance_id, nextval('federation.lock_fence'), until)
  on conflict (tenant_id, name) do update set
    holder = excluded.holder, instance_id = excluded.instance_id, fence = excluded.fence, taken_at = now(), expires_at = excluded.expires_at
  where l.expires_at < clock_timestamp() or (l.holder, l.instance_id) = (excluded.holder, excluded.instance_id)
  returning l.* into lock;
  if lock.row_id is null then
    select l.* into lock from public.agent_locks l where l.tenant_id = who.tenant and l.name = take_lock.name;
    perform federation.stop_acting(who.outer_tenant, who.outer_agent);
    return coalesce(federation.lock_json(lock), '{}') || '{"held": false}';
  end if;
  perform federation.announce('federation:' || who.tenant || ':feed', 'lock', jsonb_build_object(
    'name', lock.name, 'state', 'taken', 'holder', lock.holder, 'fence', lock.fence));
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return federation.lock_json(lock) || '{"held": true}';
end
$$;
comment on function public.take_lock is 'Takes a lock that nobody holds, for so long; `held` says whether, the rest who holds it.';

create or replace function public.renew_lock(
  name text, fence bigint, ttl_ms integer default 30000, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  is_held boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  if renew_lock.ttl_ms is null or renew_lock.ttl_ms not between 100 and 86400000 then
    raise exception 'ttl_ms: expected 100 to 86400000, got %', coalesce(renew_lock.ttl_ms::text, 'nothing') using errcode = '22023';
  end if;
  -- Also one that has run out, as long as nobody took it.
  update public.agent_locks l set expires_at = clock_timestamp() + renew_lock.ttl_ms * interval '1 millisecond'
  where l.tenant_id = who.tenant and l.name = renew_lock.name and l.fence = renew_lock.fence and l.holder = who.agent;
  is_held := found;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_held;
end
$$;
comment on function public.renew_lock is 'Holds a lock for so long from now; false when somebody else has taken it.';

create or replace function public.release_lock(name text, fence bigint, as_agent text default null, as_tenant text default null)
returns boolean
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  is_held boolean;
begin
  select * into who from federation.act_as(as_agent, as_tenant);
  delete from public.agent_locks l
  where l.tenant_id = who.tenant and l.name = release_lock.name and l.fence = release_lock.fence and l.holder = who.agent;
  is_held := found;
  if is_held then
    perform federation.announce('federation:' || who.tenant || ':feed', 'lock', jsonb_build_object(
      'name', release_lock.name, 'state', 'freed', 'holder', who.agent, 'fence', release_lock.fence));
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return is_held;
end
$$;
comment on function public.release_lock is 'Lets a lock go and tells everybody; false when it was not held any more.';

create or replace function public.get_lock(name text, as_agent text default null, as_tenant text default null)
returns jsonb
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
  who record;
  lock public.agent_locks;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'tenant');
  select l.* into lock from public.agent_locks l
  where l.tenant_id = who.tenant and l.name = get_lock.name and l.expires_at > clock_timestamp();
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return case when lock.row_id is not null then federation.lock_json(lock) end;
end
$$;
comment on function public.get_lock is 'Who holds a lock, or null.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.lock_json', members || array['federation_definer']);
  perform federation.hand_out('public.take_lock', members, true);
  perform federation.hand_out('public.renew_lock', members, true);
  perform federation.hand_out('public.release_lock', members, true);
  perform federation.hand_out('public.get_lock', members);
end
$$;
