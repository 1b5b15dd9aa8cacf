import type { Database } from "./database.ts";

/**
 * What autovacuum does on a server, for the embedded database, where nobody else does it. Without ANALYZE the planner believes for ever
 * what was true when a statement was first planned: that the tables are empty, and that any index will do. Without VACUUM what was
 * deleted keeps its place.
 *
 * Everybody waits meanwhile: 50 ms for the ANALYZE of a large table, of which 30,000 rows are read. Tables above 64 MB are not vacuumed.
 */
export class Autovacuum {
  readonly #database: Database;
  /** Changes of each table when it was last analyzed: an ANALYZE that leaves columns out does not begin to count anew. */
  readonly #analyzedAt = new Map<string, number>();

  constructor(database: Database) {
    this.#database = database;
  }

  async run(): Promise<void> {
    await this.#database.query("select pg_stat_force_next_flush()");
    const { rows } = await this.#database.query(changedTables);
    for (const row of rows) {
      const [table = "", columns = "", ...counts] = row as readonly string[];
      const [changed = 0, dead = 0, all = 0, bytes = 0] = counts.map(Number);
      if (isDue(dead, { all, share: 0.2 }) && bytes < maxVacuumBytes) {
        await this.#database.exec(`vacuum ${table}`);
      }
      if (isDue(changed - (this.#analyzedAt.get(table) ?? 0), { all, share: 0.1 })) {
        await this.#database.exec(`analyze ${table} (${columns})`);
        this.#analyzedAt.set(table, changed);
      }
    }
  }
}

const maxVacuumBytes = 64 * 1024 * 1024;

/** By the defaults of a server: more than fifty rows and a share of the table. `all` is -1 for a table that nobody has looked at. */
export function isDue(
  rows: number,
  { all, share }: { readonly all: number; readonly share: number },
): boolean {
  return rows > 50 + share * Math.max(0, all);
}

/** Lexemes and vectors are left out of ANALYZE: they take ten times as long as everything else, and no plan hangs on them. */
const changedTables = `
  select format('%I.%I', n.nspname, c.relname), string_agg(quote_ident(a.attname), ', ' order by a.attnum),
    max(s.n_mod_since_analyze), max(s.n_dead_tup), max(c.reltuples), pg_total_relation_size(c.oid)
  from pg_stat_user_tables s
  join pg_class c on c.oid = s.relid and c.relpersistence = 'p'
  join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
  join pg_type t on t.oid = a.atttypid and t.typname not in ('tsvector', 'vector', 'halfvec', 'sparsevec')
  where s.n_mod_since_analyze > 50 or s.n_dead_tup > 50
  group by n.nspname, c.relname, c.oid`;
