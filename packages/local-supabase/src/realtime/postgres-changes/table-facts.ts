import type { Database } from "../../database/database.ts";

/** What the catalog says of a table, as a role sees it. */
export interface TableFacts {
  readonly schema: string;
  readonly table: string;
  readonly columns: readonly Column[];
  /** Row level security is on; deletes then show the primary key only. */
  readonly hasRowSecurity: boolean;
  /** Rows must be looked at as the role: it is bound by the policies. */
  readonly isBound: boolean;
}

export interface Column {
  readonly name: string;
  /** `int8`, `_int4`: the name in `pg_type`. */
  readonly type: string;
  /** The type as a cast writes it. */
  readonly cast: string;
  readonly isKey: boolean;
  /** Is in `old_record`: by replica identity. */
  readonly isIdentity: boolean;
  readonly isSelectable: boolean;
  /** Long values may be stored apart. */
  readonly isToastable: boolean;
}

const factsSql = `
  select json_build_object(
    'schema', s.nspname, 'table', t.relname, 'hasRowSecurity', t.relrowsecurity,
    'isBound', t.relrowsecurity and not coalesce((select r.rolbypassrls or r.rolsuper from pg_roles r where r.rolname = $2::text), false),
    'columns', (
      select json_agg(json_build_object(
        'name', a.attname, 'type', y.typname, 'cast', format_type(a.atttypid, null),
        'isKey', a.attnum = any(k.indkey),
        'isIdentity', case t.relreplident when 'f' then true when 'd' then a.attnum = any(k.indkey)
          when 'i' then exists (select from pg_index i where i.indrelid = t.oid and i.indisreplident and a.attnum = any(i.indkey))
          else false end,
        'isToastable', a.attstorage in ('x', 'e'),
        'isSelectable', exists (select from pg_roles r where r.rolname = $2::text
          and pg_has_role('authenticator', r.oid, 'member')
          and has_schema_privilege(r.oid, s.oid, 'usage') and has_column_privilege(r.oid, t.oid, a.attnum, 'select'))
        ) order by a.attnum)
      from pg_attribute a join pg_type y on y.oid = a.atttypid
      left join pg_index k on k.indrelid = t.oid and k.indisprimary
      where a.attrelid = t.oid and a.attnum > 0 and not a.attisdropped
    ))
  from pg_class t join pg_namespace s on s.oid = t.relnamespace where t.oid = $1::oid`;

/** Facts are kept until the schema changes, which event triggers announce on the channel `pgrst`. */
export class FactsCache {
  readonly #database: Database;
  #facts = new Map<string, Promise<TableFacts | undefined>>();

  constructor(database: Database) {
    this.#database = database;
  }

  /** Undefined for a table that is gone. */
  get(relation: string, role: string): Promise<TableFacts | undefined> {
    const key = `${relation} ${role}`;
    const facts = this.#facts;
    let found = facts.get(key);
    if (found === undefined) {
      found = this.#load(relation, role);
      facts.set(key, found);
      found.catch(() => facts.delete(key));
    }
    return found;
  }

  forget(): void {
    this.#facts = new Map();
  }

  async #load(relation: string, role: string): Promise<TableFacts | undefined> {
    const { rows } = await this.#database.query(factsSql, [relation, role]);
    const text = rows[0]?.[0];
    if (text == null) return undefined;
    const facts = JSON.parse(text) as TableFacts; // the shape of the query above
    return { ...facts, columns: facts.columns ?? [] };
  }
}

/** The relations of the publication that a schema and a table, either of them `*`, mean. */
export async function publishedRelations(
  database: Database,
  schema: string,
  table: string,
): Promise<readonly string[]> {
  if (schema.includes("\0") || table.includes("\0")) return [];
  const { rows } = await database.query(
    `select t.oid::text from pg_publication_tables p
     join pg_namespace s on s.nspname = p.schemaname join pg_class t on t.relnamespace = s.oid and t.relname = p.tablename
     where p.pubname = 'supabase_realtime' and $1::text in ('*', p.schemaname::text) and $2::text in ('*', p.tablename::text)`,
    [schema, table],
  );
  return rows.flatMap(([oid]) => (oid == null ? [] : [oid]));
}
