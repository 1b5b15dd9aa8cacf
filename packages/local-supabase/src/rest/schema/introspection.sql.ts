/**
 * Everything the schema cache is made of, as one JSON document. `$1` is a JSON array of the exposed schemas. Run with
 * an empty search_path, so that every type and expression comes out with its schema where it needs one.
 */
export const introspectionSql: string = `
with exposed as (
  select n.oid, n.nspname
  from pg_catalog.pg_namespace n
  where n.nspname in (select json_array_elements_text($1::json))
),
relations as (
  select c.oid, e.nspname as schema, c.relname as name, c.relkind
  from pg_catalog.pg_class c
  join exposed e on e.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not c.relispartition
),
columns as materialized (
  select r.oid as relation, a.attnum, a.attname as name,
    format_type(a.atttypid, -1) as type,
    format_type(case t.typtype when 'd' then t.typbasetype else a.atttypid end, -1) as base_type,
    case
      when a.attgenerated <> '' then null
      when a.attidentity <> '' then format('nextval(%L::regclass)', pg_get_serial_sequence(format('%I.%I', r.schema, r.name), a.attname))
      when d.adbin is not null then pg_get_expr(d.adbin, d.adrelid)
      when t.typdefaultbin is not null then pg_get_expr(t.typdefaultbin, 0)
    end as default_sql
  from relations r
  join pg_catalog.pg_attribute a on a.attrelid = r.oid and a.attnum > 0 and not a.attisdropped
    and a.attrelid = any (array(select oid from relations))
  join pg_catalog.pg_type t on t.oid = a.atttypid
  left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
),
key_columns as (
  select k.oid as constraint_id, k.conrelid, k.contype, array_agg(a.attname::text order by k_at.n) as names
  from pg_catalog.pg_constraint k
  join relations r on r.oid = k.conrelid
  cross join unnest(k.conkey) with ordinality as k_at (attnum, n)
  join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = k_at.attnum
  where k.contype in ('p', 'u')
  group by 1, 2, 3
),
foreign_keys as (
  select k.conname as constraint_name, k.conrelid, k.confrelid,
    (select json_agg(json_build_object('from', a.attname, 'to', f.attname) order by pair.n)
     from unnest(k.conkey, k.confkey) with ordinality as pair (near, far, n)
     join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = pair.near
     join pg_catalog.pg_attribute f on f.attrelid = k.confrelid and f.attnum = pair.far) as columns,
    exists (
      select from pg_catalog.pg_constraint u
      where u.conrelid = k.conrelid and u.contype in ('p', 'u') and u.conkey @> k.conkey and u.conkey <@ k.conkey
    ) as is_unique
  from pg_catalog.pg_constraint k
  where k.contype = 'f' and k.conparentid = 0
),
procedures as materialized (
  -- An array, not only a join: the thousands of functions of other schemas must be left out first.
  select p.*, e.nspname as schema
  from pg_catalog.pg_proc p
  join exposed e on e.oid = p.pronamespace
  where p.prokind = 'f' and p.pronamespace = any (array(select oid from exposed))
),
parameters as (
  select p.oid as function_id, unnested.n,
    coalesce(p.proargnames[unnested.n], '') as name,
    format_type(unnested.type, -1) as type,
    unnested.type as type_id,
    coalesce(p.proargmodes[unnested.n], 'i') as mode,
    row_number() over (partition by p.oid order by unnested.n) as position
  from procedures p
  cross join unnest(coalesce(p.proallargtypes, p.proargtypes::oid[])) with ordinality as unnested (type, n)
  where coalesce(p.proargmodes[unnested.n], 'i') in ('i', 'b', 'v')
),
functions as (
  select p.oid, p.schema, p.proname as name, p.proretset, p.provolatile, p.prorows,
    t.typname as return_type, t.typnamespace = 'pg_catalog'::regnamespace as return_is_builtin,
    coalesce(base.typtype, t.typtype) = 'c' or coalesce(p.proargmodes::text[] && '{t,b,o}', false) as returns_row,
    row_type.relname as return_relation, row_schema.nspname as return_schema, row_type.relkind as return_kind,
    (select substr(setting, length('statement_timeout=') + 1)
     from unnest(p.proconfig) setting where setting like 'statement_timeout=%') as statement_timeout,
    p.pronargs, p.pronargdefaults
  from procedures p
  join pg_catalog.pg_type t on t.oid = p.prorettype
  left join pg_catalog.pg_type base on base.oid = t.typbasetype and t.typtype = 'd'
  left join pg_catalog.pg_class row_type on row_type.oid = coalesce(base.typrelid, t.typrelid) and row_type.oid <> 0
  left join pg_catalog.pg_namespace row_schema on row_schema.oid = row_type.relnamespace
  where t.typname not in ('trigger', 'event_trigger')
)
select json_build_object(
  'tables', (
    select coalesce(json_agg(json_build_object(
      'schema', r.schema,
      'name', r.name,
      'isView', r.relkind in ('v', 'm'),
      'columns', (
        select coalesce(json_agg(json_build_object(
          'name', c.name, 'type', c.type, 'baseType', c.base_type, 'defaultSql', c.default_sql) order by c.attnum), '[]')
        from columns c where c.relation = r.oid),
      'primaryKey', coalesce(
        (select to_json(k.names) from key_columns k where k.conrelid = r.oid and k.contype = 'p'), '[]')
    )), '[]') from relations r),
  'views', (
    select coalesce(json_agg(json_build_object(
      'schema', r.schema,
      'name', r.name,
      'columns', (select json_object_agg(c.attnum, c.name) from columns c where c.relation = r.oid),
      'rule', w.ev_action::text)), '[]')
    from relations r
    join pg_catalog.pg_rewrite w on w.ev_class = r.oid and w.rulename = '_RETURN'
    where r.relkind in ('v', 'm')),
  'numbers', (
    -- What the rules of the views call their sources: table and column numbers.
    select coalesce(json_agg(json_build_object(
      'id', r.oid::text, 'schema', r.schema, 'name', r.name,
      'columns', (select json_object_agg(c.attnum, c.name) from columns c where c.relation = r.oid))), '[]')
    from relations r
    where exists (select from relations v where v.relkind in ('v', 'm'))),
  'foreignKeys', (
    select coalesce(json_agg(json_build_object(
      'constraint', k.constraint_name,
      'table', json_build_object('schema', r.schema, 'name', r.name),
      'target', json_build_object('schema', f.schema, 'name', f.name),
      'columns', k.columns,
      'unique', k.is_unique) order by r.name, k.constraint_name), '[]')
    from foreign_keys k
    join relations r on r.oid = k.conrelid
    join relations f on f.oid = k.confrelid),
  'functions', (
    select coalesce(json_agg(json_build_object(
      'schema', f.schema,
      'name', f.name,
      'parameters', (
        select coalesce(json_agg(json_build_object(
          'name', a.name, 'type', a.type,
          'required', a.position <= f.pronargs - f.pronargdefaults,
          'variadic', a.mode = 'v') order by a.position), '[]')
        from parameters a where a.function_id = f.oid),
      'result', case
        when f.return_type = 'void' and f.return_is_builtin then 'void'
        when f.returns_row then 'row' else 'scalar' end,
      'resultTable', case when f.return_kind in ('r', 'p', 'v', 'm', 'f')
        then json_build_object('schema', f.return_schema, 'name', f.return_relation) end,
      'returnsSet', f.proretset,
      'volatility', case f.provolatile when 'i' then 'immutable' when 's' then 'stable' else 'volatile' end,
      'statementTimeout', f.statement_timeout) order by f.name, f.pronargs, f.oid), '[]')
    from functions f
    -- A parameter without a name cannot be given, except where it is the only one and takes the whole body.
    where not exists (select from parameters a where a.function_id = f.oid and a.name = '')
       or (f.pronargs = 1 and exists (
         select from parameters a
         where a.function_id = f.oid and a.type in ('json', 'jsonb', 'text', 'xml', 'bytea')))),
  'computed', (
    select coalesce(json_agg(json_build_object(
      'origin', json_build_object('schema', r.schema, 'name', r.name),
      'target', json_build_object('schema', f.return_schema, 'name', f.return_relation),
      'function', json_build_object('schema', f.schema, 'name', f.name),
      'toOne', not f.proretset or f.prorows = 1)), '[]')
    from functions f
    join parameters a on a.function_id = f.oid and a.position = 1
    join pg_catalog.pg_type t on t.oid = a.type_id
    join relations r on r.oid = t.typrelid
    join relations target on target.schema = f.return_schema and target.name = f.return_relation
    where f.pronargs = 1),
  'roles', (
    select coalesce(json_agg(r.rolname), '[]')
    from pg_catalog.pg_roles r
    join pg_catalog.pg_roles a on a.rolname = 'authenticator'
    where r.oid <> a.oid and pg_has_role(a.oid, r.oid, 'member'))
)::text as document`;
