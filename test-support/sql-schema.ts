import type { Database, Session } from "../packages/local-supabase/src/database/database.ts";

/**
 * What the migrations leave behind, as SQL text in a fixed order: the same from PGlite and from any native Postgres.
 * For reading and comparing, not for restoring. `supabase/schema.sql` is this text.
 */
export async function describeSchema(database: Database): Promise<string> {
  return await database.transaction(async (session) => {
    // Then every name outside pg_catalog is printed with its schema.
    await session.query("set local search_path = ''");
    return await describe(session);
  });
}

async function describe(session: Session): Promise<string> {
  const parts: string[] = [
    "-- Generated from a database with all migrations by scripts/schema-write.ts; do not edit.",
  ];
  for (const { title, sql } of sections) {
    const { rows } = await session.query(sql);
    parts.push(`\n-- ${title}`, ...rows.map(([line]) => line ?? ""));
  }
  return parts.join("\n") + "\n";
}

/** Tables and functions of the federation: everything in `federation`, and in `public` what belongs to its owners. */
const ours = "n.nspname in ('public', 'federation')";
/** Owners hold everything on what they own, and what that is differs between versions; so only grants to others count. */
const grants = (acl: string, owner: string, kind: string, name: string): string => `
  select format('grant %s on ${kind} %s to %s;', string_agg(lower(a.privilege_type), ', ' order by a.privilege_type), ${name},
    case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end)
  from aclexplode(${acl}) a where a.grantee <> ${owner}
  group by a.grantee order by pg_get_userbyid(a.grantee)`;

const sections: readonly { readonly title: string; readonly sql: string }[] = [
  {
    title: "roles",
    sql: `select format('create role %I %s;', rolname, concat_ws(' ',
        case when rolcanlogin then 'login' else 'nologin' end, case when rolsuper then 'superuser' end,
        case when rolbypassrls then 'bypassrls' end, case when rolcreaterole then 'createrole' end))
      from pg_roles where rolname = 'federation_definer'`,
  },
  {
    title: "schema federation",
    sql: `select format('create schema %I authorization %I;', nspname, pg_get_userbyid(nspowner)) from pg_namespace where nspname = 'federation'
      union all
      select line from pg_namespace n, lateral (${grants("n.nspacl", "n.nspowner", "schema", "n.nspname")}) g (line) where n.nspname = 'federation'`,
  },
  {
    title: "rights of the definer role elsewhere",
    sql: `select format('%s on schema %s', lower(a.privilege_type), n.nspname)
      from pg_namespace n, aclexplode(n.nspacl) a
      where a.grantee = 'federation_definer'::regrole and n.nspname <> 'federation' order by 1`,
  },
  {
    title: "sequences",
    sql: `select format('create sequence %s as %s owner %I;', c.oid::regclass, s.seqtypid::regtype, pg_get_userbyid(c.relowner))
        || coalesce((select string_agg(E'\\n' || line, '') from (${grants("c.relacl", "c.relowner", "sequence", "c.oid::regclass::text")}) g (line)), '')
      from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_sequence s on s.seqrelid = c.oid
      where ${ours} order by 1`,
  },
  {
    title: "tables",
    sql: `select format(E'\\ncreate table %I.%I ( -- owner %s, row level security %s%s\\n%s\\n);', n.nspname, c.relname,
        pg_get_userbyid(c.relowner), case when c.relrowsecurity then 'on' else 'OFF' end,
        coalesce(', ' || array_to_string(c.reloptions, ', '), ''), columns.lines)
        || format(E'\\ncomment on table %I.%I is %L;', n.nspname, c.relname, obj_description(c.oid, 'pg_class'))
        || coalesce((select string_agg(format(E'\\nalter table %I.%I add constraint %I %s;', n.nspname, c.relname, k.conname,
             pg_get_constraintdef(k.oid)), '' order by k.contype desc, k.conname)
           from pg_constraint k where k.conrelid = c.oid and k.contype in ('c', 'f', 'p', 'u')), '')
        || coalesce((select string_agg(E'\\n' || pg_get_indexdef(i.indexrelid) || ';', '' order by i.indexrelid::regclass::text)
           from pg_index i where i.indrelid = c.oid and not exists (select from pg_constraint k where k.conindid = i.indexrelid)), '')
        || coalesce((select string_agg(E'\\n' || pg_get_triggerdef(t.oid) || ';', '' order by t.tgname)
           from pg_trigger t join pg_proc f on f.oid = t.tgfoid
           where t.tgrelid = c.oid and not t.tgisinternal and f.pronamespace <> 'realtime'::regnamespace), '')
        || coalesce((select string_agg(E'\\n' || line, '') from (${grants("c.relacl", "c.relowner", "table", "format('%I.%I', n.nspname, c.relname)")}) g (line)), '')
        || coalesce((select string_agg(E'\\nalter publication ' || p.pubname || ' add table ' || n.nspname || '.' || c.relname || ';', '' order by p.pubname)
           from pg_publication_tables p where p.schemaname = n.nspname and p.tablename = c.relname), '')
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      cross join lateral (
        select string_agg(concat_ws(' ', '  ' || quote_ident(a.attname), format_type(a.atttypid, a.atttypmod),
            case when a.attnotnull then 'not null' end,
            case when a.attgenerated = 's' then 'generated always as (' || pg_get_expr(d.adbin, d.adrelid) || ') stored'
                 else 'default ' || pg_get_expr(d.adbin, d.adrelid) end), E',\\n' order by a.attnum) as lines
        from pg_attribute a left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped) columns
      where ${ours} and c.relkind in ('r', 'p', 'v', 'm') order by n.nspname, c.relname`,
  },
  {
    title: "policies",
    sql: `select format(E'create policy %I on %I.%I as %s for %s to %s%s%s;', policyname, schemaname, tablename,
        lower(permissive), lower(cmd), array_to_string(roles, ', '),
        E'\\n  using ' || qual, E'\\n  with check ' || with_check)
      from pg_policies where schemaname in ('public', 'federation') or (schemaname = 'realtime' and policyname like 'federation%')
      order by schemaname, tablename, policyname collate "C"`,
  },
  {
    title: "functions",
    sql: `select E'\\n' || pg_get_functiondef(p.oid) || format('-- owner %s', pg_get_userbyid(p.proowner))
        || coalesce((select string_agg(E'\\n' || line, '') from (${grants("coalesce(p.proacl, acldefault('f', p.proowner))", "p.proowner", "function", "p.oid::regprocedure::text")}) g (line)), '')
        || coalesce(format(E'\\ncomment on function %s is %L;', p.oid::regprocedure, obj_description(p.oid, 'pg_proc')), '')
      from pg_proc p join pg_namespace n on n.oid = p.pronamespace
      where ${ours} and not exists (
        select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
      order by n.nspname, p.proname collate "C"`,
  },
];
