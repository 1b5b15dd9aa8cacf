import type { Session } from "../packages/local-supabase/src/database/database.ts";

/** TypeScript text with the `Database` type that supabase-js takes, made from the catalogs of a migrated database. */
export async function databaseTypes(session: Session): Promise<string> {
  const tables = await readTables(session);
  const functions = await readFunctions(session);
  return `// Generated from a database with all migrations by scripts/schema-write.ts; do not edit.

export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

/** The schema as supabase-js wants to know it: \`createClient<Database>(url, key)\`. */
export interface Database {
  public: {
    Tables: {
${tables.map(tableText).join("\n")}
    };
    Views: Record<never, never>;
    Functions: {
${functions.map(functionText).join("\n")}
    };
    Enums: Record<never, never>;
    CompositeTypes: Record<never, never>;
  };
}
`;
}

interface Column {
  readonly name: string;
  readonly type: string;
  readonly isNullable: boolean;
  readonly isOptional: boolean;
  readonly isGenerated: boolean;
}

interface Table {
  readonly name: string;
  readonly columns: readonly Column[];
  readonly relationships: readonly Relationship[];
}

interface Relationship {
  readonly name: string;
  readonly columns: readonly string[];
  readonly isOneToOne: boolean;
  readonly table: string;
  readonly referenced: readonly string[];
}

interface Argument {
  readonly name: string;
  readonly type: string;
  readonly hasDefault: boolean;
}

interface SqlFunction {
  readonly name: string;
  readonly args: readonly Argument[];
  readonly type: string;
  readonly isSet: boolean;
}

async function readTables(session: Session): Promise<Table[]> {
  return await readJson<Table>(
    session,
    `select json_build_object('name', c.relname,
        'columns', (
          select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, null),
            'isNullable', not a.attnotnull, 'isOptional', a.atthasdef or not a.attnotnull,
            'isGenerated', a.attgenerated <> '') order by a.attname collate "C")
          from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped),
        'relationships', coalesce((
          select json_agg(json_build_object('name', k.conname, 'table', k.confrelid::regclass::text,
            'columns', array(select attname from pg_attribute where attrelid = k.conrelid and attnum = any (k.conkey)),
            'referenced', array(select attname from pg_attribute where attrelid = k.confrelid and attnum = any (k.confkey)),
            'isOneToOne', exists (
              select from pg_index i where i.indrelid = k.conrelid and i.indisunique and i.indkey::int2[] = k.conkey)) order by k.conname)
          from pg_constraint k where k.conrelid = c.oid and k.contype = 'f'), '[]'))
      from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' order by c.relname collate "C"`,
  );
}

async function readFunctions(session: Session): Promise<SqlFunction[]> {
  return await readJson<SqlFunction>(
    session,
    `select json_build_object('name', p.proname, 'type', format_type(p.prorettype, null), 'isSet', p.proretset,
        'args', coalesce((
          select json_agg(json_build_object('name', p.proargnames[i], 'type', format_type(p.proargtypes[i - 1], null),
            'hasDefault', i > p.pronargs - p.pronargdefaults) order by p.proargnames[i] collate "C")
          from generate_series(1, p.pronargs) i), '[]'))
      from pg_proc p
      where p.pronamespace = 'public'::regnamespace and p.prorettype <> 'trigger'::regtype and not exists (
        select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
      order by p.proname collate "C"`,
  );
}

async function readJson<T>(session: Session, sql: string): Promise<T[]> {
  const { rows } = await session.query(sql);
  // The shape is what the query above builds.
  return rows.map(([cell]) => JSON.parse(cell ?? "null") as T);
}

function tableText({ name, columns, relationships }: Table): string {
  const row = columns.map((c) => `          ${c.name}: ${typeText(c.type)}${c.isNullable ? " | null" : ""};`);
  const written = (c: Column, isOptional: boolean): string =>
    c.isGenerated
      ? `          ${c.name}?: never;`
      : `          ${c.name}${isOptional ? "?" : ""}: ${typeText(c.type)}${c.isNullable ? " | null" : ""};`;
  return [
    `      ${name}: {`,
    "        Row: {",
    ...row,
    "        };",
    "        Insert: {",
    ...columns.map((c) => written(c, c.isOptional)),
    "        };",
    "        Update: {",
    ...columns.map((c) => written(c, true)),
    "        };",
    `        Relationships: [${relationships.map(relationshipText).join(", ")}];`,
    "      };",
  ].join("\n");
}

function relationshipText({ name, columns, isOneToOne, table, referenced }: Relationship): string {
  return (
    `{ foreignKeyName: "${name}"; columns: ${JSON.stringify(columns)}; isOneToOne: ${isOneToOne}; ` +
    `referencedRelation: "${table}"; referencedColumns: ${JSON.stringify(referenced)} }`
  );
}

function functionText({ name, args, type, isSet }: SqlFunction): string {
  const result = `${typeText(type)}${isSet ? "[]" : ""}`;
  if (args.length === 0) return `      ${name}: { Args: Record<never, never>; Returns: ${result} };`;
  return [
    `      ${name}: {`,
    "        Args: {",
    ...args.map((a) => `          ${a.name}${a.hasDefault ? "?" : ""}: ${argumentText(a.type)} | null;`),
    "        };",
    `        Returns: ${result};`,
    "      };",
  ].join("\n");
}

/** A vector goes in as JSON numbers or as pgvector's text. */
function argumentText(type: string): string {
  return type.endsWith("vector") && type !== "tsvector" ? "readonly number[] | string" : typeText(type);
}

/** What PostgREST makes of a column. A bigint comes as a JSON number. */
function typeText(type: string): string {
  if (type.endsWith("[]")) return `${typeText(type.slice(0, -2))}[]`;
  if (type === "jsonb" || type === "json") return "Json";
  if (type === "boolean") return "boolean";
  if (numeric.has(type)) return "number";
  if (type === "tsvector") return "unknown";
  return "string";
}

const numeric: ReadonlySet<string> = new Set([
  "bigint",
  "integer",
  "smallint",
  "real",
  "double precision",
  "numeric",
]);
