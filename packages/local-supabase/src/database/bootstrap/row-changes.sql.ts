/**
 * Capture of row changes, for Postgres changes of Realtime. Triggers on every table of `supabase_realtime` write what a
 * statement changed to `realtime.row_changes`, in the transaction that changes it, and notify that transaction's id: it
 * arrives once, at commit, in commit order, and not at all after a rollback. Neither sequences nor transaction ids are in
 * that order.
 *
 * They write only while somebody listens (`realtime.row_listeners`, a lease that dies with its process), and see a
 * listener that was committed before the statement began. What goes wrong in them is a warning: capturing never makes a
 * write fail. Triggers work per statement, so that 1,000 rows cost one look at the listeners and one insert.
 *
 * Everything that runs as somebody else runs as `supabase_realtime_admin`, who owns nothing but this.
 */
export const rowChangesSql: string = `
create table if not exists realtime.row_changes (
  xid xid8 not null,
  seq bigint generated always as identity,
  relation oid not null,
  schema_name text not null,
  table_name text not null,
  action text not null,
  new_row jsonb,
  old_row jsonb,
  captured_at timestamptz not null default clock_timestamp(),
  primary key (xid, seq)
);
comment on table realtime.row_changes is 'Changed rows on their way to Realtime subscribers; read by transaction, kept for a minute at most.';
create table if not exists realtime.row_listeners (
  stack uuid not null,
  schema_name text not null,
  table_name text not null,
  expires_at timestamptz not null,
  primary key (stack, schema_name, table_name)
);
comment on table realtime.row_listeners is 'Which tables Realtime servers have subscribers for; * is any. A lease that they renew.';
alter table realtime.row_changes owner to supabase_realtime_admin;
alter table realtime.row_listeners owner to supabase_realtime_admin;

create or replace function realtime.capture_rows() returns trigger language plpgsql security definer
set search_path = '' as $$
declare
  names constant text[] := array['TimeZone', 'IntervalStyle', 'bytea_output', 'extra_float_digits'];
  theirs text[];
begin
  if not exists (
    select from realtime.row_listeners l
    where (l.schema_name = '*' or l.schema_name = tg_table_schema)
      and (l.table_name = '*' or l.table_name = tg_table_name)
      and l.expires_at > pg_catalog.clock_timestamp()
  ) then
    return null;
  end if;
  -- How values are written must not depend on who writes them; a SET clause would cost every statement that nobody hears of.
  theirs := array(select pg_catalog.current_setting(n) from pg_catalog.unnest(names) n);
  begin
    perform pg_catalog.set_config(n, (array['UTC', 'postgres', 'hex', '1'])[at], true) from pg_catalog.unnest(names) with ordinality s(n, at);
    if tg_op = 'INSERT' then
      insert into realtime.row_changes (xid, relation, schema_name, table_name, action, new_row)
      select pg_catalog.pg_current_xact_id(), tg_relid, tg_table_schema, tg_table_name, tg_op, pg_catalog.to_jsonb(captured_row_) from new_rows captured_row_;
    elsif tg_op = 'DELETE' then
      insert into realtime.row_changes (xid, relation, schema_name, table_name, action, old_row)
      select pg_catalog.pg_current_xact_id(), tg_relid, tg_table_schema, tg_table_name, tg_op, pg_catalog.to_jsonb(captured_row_) from old_rows captured_row_;
    else
      -- Both tables of an update are filled in step.
      insert into realtime.row_changes (xid, relation, schema_name, table_name, action, new_row, old_row)
      select pg_catalog.pg_current_xact_id(), tg_relid, tg_table_schema, tg_table_name, tg_op, n.changed, o.changed
      from (select pg_catalog.to_jsonb(captured_row_) as changed, pg_catalog.row_number() over () as position from new_rows captured_row_) n
      join (select pg_catalog.to_jsonb(captured_row_) as changed, pg_catalog.row_number() over () as position from old_rows captured_row_) o using (position)
      order by position;
    end if;
    if found then
      perform pg_catalog.pg_notify('supabase_realtime_rows', pg_catalog.pg_current_xact_id()::text);
    end if;
  exception when others then
    raise warning 'a change of %.% does not reach Realtime: %', tg_table_schema, tg_table_name, sqlerrm;
  end;
  perform pg_catalog.set_config(n, theirs[at], true) from pg_catalog.unnest(names) with ordinality s(n, at);
  return null;
end
$$;
alter function realtime.capture_rows() owner to supabase_realtime_admin;
revoke all on function realtime.capture_rows() from public;
grant usage on schema realtime to supabase_realtime_admin;

-- The triggers follow the publication. A partition is written to through its root as well.
create or replace function realtime.follow_publication() returns void language plpgsql set search_path = '' as $$
declare
  wanted record;
  event text;
begin
  for wanted in
    with published as (
      select distinct c.oid
      from pg_catalog.pg_publication_tables p
      join pg_catalog.pg_namespace s on s.nspname = p.schemaname
      join pg_catalog.pg_class t on t.relnamespace = s.oid and t.relname = p.tablename,
      lateral (select t.oid union select a.relid from pg_catalog.pg_partition_ancestors(t.oid) a) c(oid)
      where p.pubname = 'supabase_realtime' and p.schemaname not in ('realtime', 'pg_catalog', 'information_schema')
    ),
    captured as (
      select distinct g.tgrelid as oid from pg_catalog.pg_trigger g
      where g.tgfoid = 'realtime.capture_rows()'::pg_catalog.regprocedure
    )
    select s.nspname, t.relname, p.oid is not null as is_published
    from published p full join captured c using (oid)
    join pg_catalog.pg_class t on t.oid = coalesce(p.oid, c.oid)
    join pg_catalog.pg_namespace s on s.oid = t.relnamespace
    where p.oid is null or c.oid is null
  loop
    foreach event in array array['insert', 'update', 'delete'] loop
      if wanted.is_published then
        execute pg_catalog.format('create trigger %I after %s on %I.%I %s for each statement execute function realtime.capture_rows()',
          'realtime_capture_' || event, event, wanted.nspname, wanted.relname,
          case event when 'insert' then 'referencing new table as new_rows' when 'delete' then 'referencing old table as old_rows'
                     else 'referencing old table as old_rows new table as new_rows' end);
      else
        execute pg_catalog.format('drop trigger %I on %I.%I', 'realtime_capture_' || event, wanted.nspname, wanted.relname);
      end if;
    end loop;
  end loop;
end
$$;
revoke all on function realtime.follow_publication() from public;

create or replace function realtime.publication_changed() returns event_trigger language plpgsql security definer set search_path = '' as $$
begin
  perform realtime.follow_publication();
exception when others then
  raise warning 'Realtime does not follow the publication supabase_realtime: %', sqlerrm;
end
$$;
revoke all on function realtime.publication_changed() from public;
do $$
begin
  if not exists (select from pg_event_trigger where evtname = 'realtime_publication') then
    create event trigger realtime_publication on ddl_command_end
      when tag in ('CREATE PUBLICATION', 'ALTER PUBLICATION', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
      execute function realtime.publication_changed();
    create event trigger realtime_publication_drop on sql_drop when tag in ('DROP PUBLICATION')
      execute function realtime.publication_changed();
  end if;
end
$$;
select realtime.follow_publication();

-- Asks a query as somebody else, in one round trip; rolls back with everything that it did. Answers what it answers.
create or replace function realtime.ask_as(asked_role text, asked_claims text, question text, changed jsonb, operands text[])
returns text language plpgsql as $$
declare
  answer text;
begin
  begin
    perform pg_catalog.set_config('request.jwt.claims', asked_claims, true),
            pg_catalog.set_config('request.jwt.claim.sub', coalesce(asked_claims::jsonb ->> 'sub', ''), true),
            pg_catalog.set_config('request.jwt.claim.role', asked_role, true);
    perform pg_catalog.set_config('role', asked_role, true);
    execute question into answer using changed, operands;
    raise exception using errcode = 'RTPRB', message = 'the question is answered';
  exception when sqlstate 'RTPRB' then return answer;
  end;
end
$$;
revoke all on function realtime.ask_as(text, text, text, jsonb, text[]) from public;

-- Null, or why a value is none of a type, as "sqlstate message". Asked as the role that subscribes.
create or replace function realtime.cast_problem(value text, type_name text) returns text language plpgsql as $$
begin
  execute pg_catalog.format('select $1::%s', type_name) using value;
  return null;
exception when others then
  return sqlstate || ' ' || sqlerrm;
end
$$;
create or replace function realtime.pattern_problem(pattern text) returns text language plpgsql set search_path = '' as $$
begin
  perform '' operator(pg_catalog.~) pattern;
  return null;
exception when others then
  return sqlstate || ' ' || sqlerrm;
end
$$;
`;
