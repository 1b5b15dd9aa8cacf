/** After DDL whoever caches the schema hears `reload schema` on channel `pgrst`, the name that PostgREST documents. */
export const reloadSql: string = `
create or replace function extensions.pgrst_ddl_watch() returns event_trigger language plpgsql as $$
begin
  -- A temporary object is nobody else's business.
  if exists (select from pg_event_trigger_ddl_commands() c
             where c.schema_name is distinct from 'pg_temp'
               and c.command_tag in (
                 'CREATE SCHEMA', 'ALTER SCHEMA', 'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE',
                 'CREATE FOREIGN TABLE', 'ALTER FOREIGN TABLE', 'CREATE VIEW', 'ALTER VIEW', 'CREATE MATERIALIZED VIEW',
                 'ALTER MATERIALIZED VIEW', 'CREATE FUNCTION', 'ALTER FUNCTION', 'CREATE TRIGGER', 'CREATE TYPE',
                 'ALTER TYPE', 'CREATE RULE', 'CREATE DOMAIN', 'ALTER DOMAIN', 'COMMENT', 'CREATE EXTENSION',
                 'ALTER EXTENSION', 'CREATE INDEX', 'GRANT', 'REVOKE')) then
    notify pgrst, 'reload schema';
  end if;
end
$$;
create or replace function extensions.pgrst_drop_watch() returns event_trigger language plpgsql as $$
begin
  if exists (select from pg_event_trigger_dropped_objects() d
             where not d.is_temporary
               and d.object_type in ('schema', 'table', 'foreign table', 'view', 'materialized view', 'function', 'trigger',
                 'type', 'rule', 'domain', 'extension', 'index', 'table column', 'table constraint')) then
    notify pgrst, 'reload schema';
  end if;
end
$$;
do $$
begin
  if not exists (select from pg_event_trigger where evtname = 'pgrst_ddl_watch') then
    create event trigger pgrst_ddl_watch on ddl_command_end execute function extensions.pgrst_ddl_watch();
    create event trigger pgrst_drop_watch on sql_drop execute function extensions.pgrst_drop_watch();
  end if;
end
$$;
`;
