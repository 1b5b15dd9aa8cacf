import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { applyMigrations } from "../packages/local-supabase/src/database/migrations/apply-migrations.ts";
import { openTestDatabase } from "./database.ts";
import { migrationsDir } from "./migrated.ts";
import { describeSchema } from "./sql-schema.ts";
import { databaseTypes } from "./sql-types.ts";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

export { migrationsDir } from "./migrated.ts";

export interface GeneratedFile {
  readonly path: string;
  readonly text: string;
}

/** The files made from the migrations, as they should be. */
export async function schemaFiles(): Promise<GeneratedFile[]> {
  const database = await openTestDatabase();
  try {
    await applyMigrations(database, migrationsDir);
    return [
      { path: join(root, "supabase", "schema.sql"), text: await describeSchema(database) },
      { path: join(root, "supabase", "paste-into-sql-editor.sql"), text: pasteableText() },
      {
        path: join(root, "packages", "federation", "src", "schema", "database-types.gen.ts"),
        text: await databaseTypes(database),
      },
    ];
  } finally {
    await database.close();
  }
}

/** All migrations in one transaction. It leaves no trace in the CLI's own table; `supabase db push` later changes nothing. */
export function pasteableText(): string {
  const files = readdirSync(migrationsDir).filter((name) => name.endsWith(".sql"));
  return [
    "-- Generated from supabase/migrations by scripts/schema-write.ts; do not edit.",
    "-- For those without the Supabase CLI: paste all of it into the SQL editor and run it. Running it again changes nothing.",
    "begin;",
    ...files
      .sort()
      .map((name) => `\n-- ${name}\n${readFileSync(join(migrationsDir, name), "utf8").trimEnd()}`),
    "\ncommit;\n",
  ].join("\n");
}
