-- The schema `federation`: who is asking, the cursor of whoever catches up, and how functions are handed to their callers.
-- Runs as the `postgres` of a Supabase project, which is no superuser. Every file here can run again and changes nothing.

create schema if not exists federation;
comment on schema federation is 'Helpers of the agent federation. Nothing in here is reachable over the API.';

-- pgvector may be there before us, in `extensions` or in `public`: its catalog entry says where.
create schema if not exists extensions;
create extension if not exists vector with schema extensions;

-- Security definer functions belong to this role, not to `postgres`: it has no BYPASSRLS, so it passes the policies.
do $$
begin
  if not exists (select from pg_roles where rolname = 'federation_definer') then
    begin
      create role federation_definer nologin;
    exception when duplicate_object or unique_violation then
      -- Another database of this cluster was faster. Touching a catalog that was not touched yet is what makes its role known here.
      perform from pg_auth_members limit 1;
    end;
  end if;
  if not pg_has_role(current_user, 'federation_definer', 'usage') then
    grant federation_definer to current_user;
  end if;
end
$$;

grant usage on schema federation to authenticated, service_role, federation_definer;
grant usage on schema public to authenticated, service_role, federation_definer;
-- pgvector's schema must be open to the functions that compare vectors.
do $$
begin
  execute format('grant usage on schema %I to federation_definer',
    (select n.nspname from pg_extension e join pg_namespace n on n.oid = e.extnamespace where e.extname = 'vector'));
end
$$;

-- Gives `name` its owner and its callers, and takes it from everybody else, whatever the default privileges said.
-- `of_definer`: it is security definer and belongs to the role without BYPASSRLS. Only the owner of the schema calls this.
create or replace function federation.hand_out(name regproc, callers text[], of_definer boolean default false)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  signature regprocedure := name::oid::regprocedure;
  home text := (select pronamespace::regnamespace::text from pg_proc where oid = name::oid);
  caller text;
begin
  execute format('revoke all on function %s from public, anon, authenticated, service_role', signature);
  foreach caller in array callers loop
    execute format('grant execute on function %s to %I', signature, caller);
  end loop;
  if of_definer and (select proowner <> 'federation_definer'::regrole from pg_proc where oid = name::oid) then
    -- Whoever becomes owner must be allowed to create in the schema, for as long as this statement.
    execute format('grant create on schema %s to federation_definer', home);
    execute format('alter function %s owner to federation_definer', signature);
    execute format('revoke create on schema %s from federation_definer', home);
  end if;
end
$$;
comment on function federation.hand_out(regproc, text[], boolean) is 'Owner and callers of a function; used by migrations.';
revoke all on function federation.hand_out(regproc, text[], boolean) from public;

-- One sequence for all tables, so that positions of different tables can be compared.
create sequence if not exists federation.change_seq as bigint;
revoke all on sequence federation.change_seq from public, anon, authenticated, service_role;
grant usage on sequence federation.change_seq to authenticated, service_role, federation_definer;

-- Who is asking. A JWT always wins; for the service role, what act_as() set; without a JWT also app.current_tenant.
-- An id that is none is no id: `:` in it could make one tenant's room look like another's feed. A token whose agent is none
-- has no tenant either: nothing that it did would be anybody's.
create or replace function federation.tenant_id()
returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
  tenant text;
begin
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    if federation.agent_id() is not null then
      tenant := claims #>> '{app_metadata,tenant_id}';
    end if;
  else
    tenant := nullif(current_setting('federation.tenant', true), '');
    if tenant is null and claims is null then
      tenant := current_setting('app.current_tenant', true);
    end if;
  end if;
  return case when tenant ~ '^[A-Za-z0-9._@-]{1,128}$' then tenant end;
end
$$;
comment on function federation.tenant_id() is 'The tenant of whoever asks, or null, which sees nothing.';

create or replace function federation.agent_id()
returns text
language plpgsql stable parallel safe
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
  agent text;
begin
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    agent := coalesce(claims #>> '{app_metadata,agent_id}', 'user.' || (claims ->> 'sub'));
  else
    agent := nullif(current_setting('federation.agent', true), '');
    if agent is null and claims is null then
      agent := current_setting('app.current_agent', true);
    end if;
  end if;
  return case when agent ~ '^[A-Za-z0-9._@-]{1,128}$' then agent end;
end
$$;
comment on function federation.agent_id() is 'The agent that asks, or null.';

-- The first line of every function of the API: for whom it acts, or 42501. `needs` is 'agent' (and a tenant), 'tenant' or
-- 'nothing'; what is not needed may still be there. What it sets ends with stop_acting(), at the latest with the transaction.
create or replace function federation.act_as(
  as_agent text, as_tenant text, needs text default 'agent',
  out tenant text, out agent text, out outer_tenant text, out outer_agent text)
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
  claims jsonb := nullif(current_setting('request.jwt.claims', true), '');
begin
  outer_tenant := coalesce(current_setting('federation.tenant', true), '');
  outer_agent := coalesce(current_setting('federation.agent', true), '');
  if claims is not null and claims ->> 'role' is distinct from 'service_role' then
    tenant := federation.tenant_id();
    agent := federation.agent_id();
    if tenant is null or agent is null then
      raise exception 'the token names no %: expected app_metadata.% of 1 to 128 characters A-Z a-z 0-9 . _ @ -',
        case when agent is null then 'agent' else 'tenant' end,
        case when agent is null then 'agent_id' else 'tenant_id' end using errcode = '42501';
    end if;
    if as_tenant <> tenant or as_agent <> agent then
      raise exception 'this token acts as agent % of tenant %, not as agent % of tenant %',
        agent, tenant, coalesce(as_agent, agent), coalesce(as_tenant, tenant) using errcode = '42501';
    end if;
    return;
  end if;
  perform federation.check_agent('as_tenant', as_tenant), federation.check_agent('as_agent', as_agent);
  -- Inside a function that acts for somebody, a call that names nobody acts for the same.
  perform set_config('federation.tenant', coalesce(as_tenant, outer_tenant), true),
          set_config('federation.agent', coalesce(as_agent, outer_agent), true);
  tenant := federation.tenant_id();
  agent := federation.agent_id();
  if tenant is null and needs <> 'nothing' then
    raise exception 'no tenant: name one with as_tenant' using errcode = '42501',
      hint = 'In a session without a token, set app.current_tenant works as well.';
  elsif agent is null and needs = 'agent' then
    raise exception 'no agent: name one with as_agent' using errcode = '42501',
      hint = 'In a session without a token, set app.current_agent works as well.';
  end if;
end
$$;
comment on function federation.act_as(text, text, text) is 'For whom an API function acts; refuses with 42501.';

create or replace function federation.stop_acting(outer_tenant text, outer_agent text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
  perform set_config('federation.tenant', outer_tenant, true), set_config('federation.agent', outer_agent, true);
end
$$;
comment on function federation.stop_acting(text, text) is 'Ends what act_as() began.';

-- Checks of what callers send. Null passes where the caller may leave it out.
create or replace function federation.check_agent(what text, value text)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if value !~ '^[A-Za-z0-9._@-]{1,128}$' then
    raise exception '%: expected 1 to 128 characters of A-Z a-z 0-9 . _ @ -, got %', what, quote_literal(left(value, 150))
      using errcode = '22023';
  end if;
  return value;
end
$$;

create or replace function federation.check_text(what text, value text, max_bytes integer, needed boolean default true)
returns text
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if value is null then
    if needed then
      raise exception '%: expected a text, got nothing', what using errcode = '22023';
    end if;
  elsif octet_length(value) > max_bytes or (needed and value = '') then
    raise exception '%: expected % to % bytes, got %', what, case when needed then 1 else 0 end, max_bytes,
      octet_length(value) using errcode = '22023';
  end if;
  return value;
end
$$;

create or replace function federation.check_json(what text, value jsonb, max_bytes integer default 1048576)
returns jsonb
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if octet_length(value::text) > max_bytes then
    raise exception '%: expected at most % bytes as JSON text, got %', what, max_bytes, octet_length(value::text)
      using errcode = '22023';
  end if;
  return value;
end
$$;

create or replace function federation.check_rows(max_rows integer)
returns integer
language plpgsql immutable
set search_path = pg_catalog, pg_temp
as $$
begin
  if max_rows is null or max_rows < 0 then
    raise exception 'number of rows: expected 0 or more, got %', coalesce(max_rows::text, 'nothing') using errcode = '22023';
  end if;
  return least(max_rows, 10000);
end
$$;

-- Before insert and update: the transaction that writes and a number, by which others find what is new.
-- Not pinned to a search_path, since that costs as much as the rest: every name is qualified instead.
create or replace function federation.stamp()
returns trigger
language plpgsql
as $$
begin
  new.tx := pg_catalog.pg_current_xact_id();
  new.seq := pg_catalog.nextval('federation.change_seq'::pg_catalog.regclass);
  return new;
end
$$;
comment on function federation.stamp() is 'Trigger: sets tx and seq.';

create or replace function federation.count_version()
returns trigger
language plpgsql
as $$
begin
  new.version := case tg_op when 'INSERT' then 1 else old.version operator(pg_catalog.+) 1 end;
  return new;
end
$$;
comment on function federation.count_version() is 'Trigger: 1 for a new row, one more for every update.';

do $$
declare
  members text[] := array['authenticated', 'service_role', 'federation_definer'];
begin
  perform federation.hand_out('federation.tenant_id', members);
  perform federation.hand_out('federation.agent_id', members);
  perform federation.hand_out('federation.act_as', members);
  perform federation.hand_out('federation.stop_acting', members);
  perform federation.hand_out('federation.check_agent', members);
  perform federation.hand_out('federation.check_text', members);
  perform federation.hand_out('federation.check_json', members);
  perform federation.hand_out('federation.check_rows', members);
  perform federation.hand_out('federation.stamp', '{}');
  perform federation.hand_out('federation.count_version', '{}');
end
$$;

create or replace function public.schema_version()
returns integer
language sql stable
set search_path = pg_catalog, pg_temp
as $$ select 1 $$;
comment on function public.schema_version() is 'Which schema of the agent federation this database has.';
do $$
begin
  perform federation.hand_out('public.schema_version', array['anon', 'authenticated', 'service_role']);
end
$$;
