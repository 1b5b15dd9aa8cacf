-- What replicas must learn although no row tells them: which database this is, what is no longer theirs to read, and up to where
-- something was removed without a trace.

create table if not exists federation.sync_settings (
  only_one boolean primary key default true check (only_one),
  epoch uuid not null default gen_random_uuid(),
  tombstones_kept interval not null default interval '30 days' check (tombstones_kept >= interval '1 day')
);
comment on table federation.sync_settings is 'One row: what cursors of this database begin with, and how long tombstones stay.';
insert into federation.sync_settings default values on conflict do nothing;

-- A memory that its readers lost. `lost_by` '': all but its owner; else the one agent who could read it.
create table if not exists federation.hidden_memories (
  tenant_id text not null,
  id text not null,
  lost_by text not null,
  agent_id text not null,
  version bigint not null,
  hlc_ms bigint not null,
  hlc_counter integer not null,
  hlc_writer text not null,
  hidden_at timestamptz not null default now(),
  tx xid8 not null default pg_current_xact_id(),
  seq bigint not null default nextval('federation.change_seq'),
  primary key (tenant_id, id, lost_by)
);
comment on table federation.hidden_memories is 'Memories that became another agent''s own, for those who could read them: id and clock.';
create index if not exists hidden_memories_cursor on federation.hidden_memories (tenant_id, tx, seq);
create index if not exists hidden_memories_age on federation.hidden_memories (hidden_at);

-- By a hash of the tenant's id, so that a deleted tenant leaves no name.
create table if not exists federation.pull_floors (
  tenant_hash text primary key,
  tx xid8 not null,
  seq bigint not null
);
comment on table federation.pull_floors is 'Cursors before this place may have missed a removal.';

do $$
declare
  name text;
begin
  foreach name in array array['sync_settings', 'hidden_memories', 'pull_floors'] loop
    execute format('alter table federation.%I enable row level security', name);
    execute format('revoke all on federation.%I from public, anon, authenticated, service_role', name);
    execute format('grant select, insert, update, delete on federation.%I to federation_definer', name);
    execute format('drop policy if exists "functions" on federation.%I', name);
    -- Triggers write for whatever row was changed; what is read is narrowed by the functions.
    execute format('create policy "functions" on federation.%I for all to federation_definer using (true) with check (true)', name);
  end loop;
end
$$;

create or replace function federation.note_hidden()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  -- Of tombstones as well: not everybody has seen them yet, and what is under the id now they will not see.
  insert into federation.hidden_memories as h (tenant_id, id, lost_by, agent_id, version, hlc_ms, hlc_counter, hlc_writer)
  select o.tenant_id, o.id, coalesce(federation.memory_reader(o), ''), o.agent_id, n.version, n.hlc_ms, n.hlc_counter, n.hlc_writer
  from new_rows n join old_rows o using (row_id)
  where (o.tenant_id, o.id) is distinct from (n.tenant_id, n.id)
    or (federation.memory_reader(n) is not null and federation.memory_reader(n) is distinct from federation.memory_reader(o))
  on conflict (tenant_id, id, lost_by) do update set
    agent_id = excluded.agent_id, version = excluded.version, hlc_ms = excluded.hlc_ms, hlc_counter = excluded.hlc_counter,
    hlc_writer = excluded.hlc_writer, hidden_at = excluded.hidden_at, tx = excluded.tx, seq = excluded.seq;
  return null;
end
$$;
comment on function federation.note_hidden() is 'Trigger: notes whom a change takes a memory from.';
create or replace trigger note_hidden after update on public.agent_memories
  referencing old table as old_rows new table as new_rows for each statement execute function federation.note_hidden();

create or replace function federation.raise_floor(tenant text, at_tx xid8, at_seq bigint)
returns void
language sql security definer
set search_path = pg_catalog, pg_temp
as $$
  insert into federation.pull_floors as f (tenant_hash, tx, seq)
  values (encode(sha256(convert_to(tenant, 'UTF8')), 'hex'), at_tx, at_seq)
  on conflict (tenant_hash) do update set tx = excluded.tx, seq = excluded.seq
  where (excluded.tx, excluded.seq) > (f.tx, f.seq)
$$;
comment on function federation.raise_floor(text, xid8, bigint) is 'From now on cursors of the tenant before this place mean nothing.';

-- Whoever has seen the last write of a tombstone or of what expired needs no more; whoever has not must compare everything. What
-- had one version only and expired is known to expire by all who hold it. Anything else is missed by everybody.
create or replace function federation.note_removals()
returns trigger
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  here bigint := nextval('federation.change_seq');
begin
  perform federation.raise_floor(gone.tenant_id, gone.tx, gone.seq)
  from (
    select distinct on (g.tenant_id) g.tenant_id, g.tx, g.seq
    from (
      select o.tenant_id,
        case when o.deleted_at is not null or o.expires_at <= now() then o.tx else pg_current_xact_id() end as tx,
        case when o.deleted_at is not null or o.expires_at <= now() then o.seq else here end as seq
      from old_rows o
      where not (o.deleted_at is null and o.version = 1 and coalesce(o.expires_at <= now(), false))) g
    order by g.tenant_id, g.tx desc, g.seq desc) gone;
  return null;
end
$$;
comment on function federation.note_removals() is 'Trigger: up to where a tenant''s memories were removed without a trace.';
create or replace trigger note_removals after delete on public.agent_memories
  referencing old table as old_rows for each statement execute function federation.note_removals();

-- Another epoch, another order of changes: the schema's own id, the cluster, and its timeline, which a promotion changes.
create or replace function federation.epoch()
returns text
language plpgsql stable security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  cluster text := '';
begin
  begin
    cluster := concat((select system_identifier from pg_control_system()), ' ', (select timeline_id from pg_control_checkpoint()));
  exception when insufficient_privilege then
    null; -- not everybody may ask everywhere: then a restore into another cluster needs new_epoch()
  end;
  return left(encode(sha256(convert_to((select s.epoch::text from federation.sync_settings s) || ' ' || cluster, 'UTF8')), 'hex'), 32);
end
$$;

create or replace function public.new_epoch()
returns text
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update federation.sync_settings set epoch = gen_random_uuid();
  return federation.epoch();
end
$$;
comment on function public.new_epoch is 'After a restore in place: every cursor given out before means nothing any more.';

create or replace function public.keep_tombstones(days integer)
returns void
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if days is null or days not between 1 and 36500 then
    raise exception 'days: expected 1 to 36500, got %', coalesce(days::text, 'nothing') using errcode = '22023';
  end if;
  update federation.sync_settings set tombstones_kept = make_interval(days => keep_tombstones.days);
end
$$;
comment on function public.keep_tombstones is 'How long tombstones stay. A replica that was away for longer compares everything.';

-- Expired memories are gone for every reader already, so any member may have the tenant's removed.
create or replace function federation.remove_expired_memories(tenant text)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  changed integer;
  removed integer;
begin
  update public.agent_memories k set deleted_at = now()
  where k.tenant_id = tenant and k.expires_at <= now() and k.deleted_at is null and k.version > 1;
  get diagnostics changed = row_count;
  delete from public.agent_memories k
  where k.tenant_id = tenant and k.expires_at <= now() and k.deleted_at is null;
  get diagnostics removed = row_count;
  return changed + removed;
end
$$;

create or replace function public.cleanup_expired_memories(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer := 0;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_expired_memories(who.tenant);
  else
    -- A service that names no tenant cleans up all of them, one after the other; nobody else gets here.
    select coalesce(sum(public.cleanup_expired_memories(null, t.tenant_id)), 0) into removed
    from (select distinct k.tenant_id from public.agent_memories k where k.expires_at <= now() and k.deleted_at is null) t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_expired_memories is 'Removes expired memories; answers how many.';

create or replace function federation.remove_tombstones(tenant text)
returns integer
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  before timestamptz := now() - (select s.tombstones_kept from federation.sync_settings s);
  removed integer;
  last record;
begin
  delete from public.agent_memories k where k.tenant_id = tenant and k.deleted_at is not null and k.updated_at < before;
  get diagnostics removed = row_count;
  -- The delete's trigger has raised the floor for the memories; these are no memories.
  with gone as (
    delete from federation.hidden_memories h where h.tenant_id = tenant and h.hidden_at < before returning h.tx, h.seq)
  select g.tx, g.seq into last from gone g order by g.tx desc, g.seq desc limit 1;
  if found then
    perform federation.raise_floor(tenant, last.tx, last.seq);
  end if;
  return removed;
end
$$;

create or replace function federation.tenants_with_old_tombstones()
returns setof text
language sql stable security definer
set search_path = pg_catalog, pg_temp
as $$
  select k.tenant_id from public.agent_memories k, federation.sync_settings s
  where k.deleted_at is not null and k.updated_at < now() - s.tombstones_kept
  union
  select h.tenant_id from federation.hidden_memories h, federation.sync_settings s where h.hidden_at < now() - s.tombstones_kept
$$;

create or replace function public.cleanup_tombstones(as_agent text default null, as_tenant text default null)
returns integer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  who record;
  removed integer;
begin
  select * into who from federation.act_as(as_agent, as_tenant, 'nothing');
  if who.tenant is not null then
    removed := federation.remove_tombstones(who.tenant);
  else
    select coalesce(sum(public.cleanup_tombstones(null, t)), 0) into removed from federation.tenants_with_old_tombstones() t;
  end if;
  perform federation.stop_acting(who.outer_tenant, who.outer_agent);
  return removed;
end
$$;
comment on function public.cleanup_tombstones is 'Removes tombstones older than keep_tombstones() says; answers how many.';

-- Belongs to `postgres`: pg_cron's jobs run as whoever schedules them.
create or replace function public.schedule_maintenance()
returns jsonb
language plpgsql security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  command constant text := 'select public.cleanup_expired_memories(), public.cleanup_tombstones()';
begin
  if to_regprocedure('cron.schedule(text,text,text)') is null then
    return jsonb_build_object('scheduled', false, 'jobs', '[]'::jsonb,
      'reason', 'pg_cron is not there: create extension pg_cron, or call cleanup_expired_memories() and cleanup_tombstones() from a service now and then');
  end if;
  execute 'select cron.schedule($1, $2, $3)' using 'agent-federation-cleanup', '*/5 * * * *', command;
  return jsonb_build_object('scheduled', true, 'jobs', jsonb_build_array('agent-federation-cleanup'), 'reason', null);
end
$$;
comment on function public.schedule_maintenance is 'Has pg_cron run the clean-ups every five minutes, where there is one.';

do $$
declare
  members text[] := array['authenticated', 'service_role'];
begin
  perform federation.hand_out('federation.note_hidden', '{}', true);
  perform federation.hand_out('federation.note_removals', '{}', true);
  perform federation.hand_out('federation.raise_floor', array['federation_definer'], true);
  perform federation.hand_out('federation.epoch', members, true);
  perform federation.hand_out('public.new_epoch', array['service_role'], true);
  perform federation.hand_out('public.keep_tombstones', array['service_role'], true);
  perform federation.hand_out('federation.remove_expired_memories', members, true);
  perform federation.hand_out('public.cleanup_expired_memories', members);
  perform federation.hand_out('federation.remove_tombstones', members, true);
  perform federation.hand_out('federation.tenants_with_old_tombstones', array['service_role']);
  perform federation.hand_out('public.cleanup_tombstones', members);
  perform federation.hand_out('public.schedule_maintenance', array['service_role']);
end
$$;
