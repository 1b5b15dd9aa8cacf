import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { LocalSupabaseError } from "../../start-error.ts";

export interface Migration {
  /** The digits that the file name begins with. */
  readonly version: string;
  readonly name: string;
  readonly file: string;
  readonly script: string;
  /** Of the script with line feeds only, so that a checkout on Windows is the same migration. */
  readonly contentHash: string;
}

/** The migrations of a Supabase CLI folder in the order they apply. Other files in it are nobody's business. */
export function readMigrations(folder: string): Migration[] {
  const migrations = namesIn(folder)
    .flatMap((file) => {
      const [, version, name] = /^(\d+)_(.*)\.sql$/.exec(file) ?? [];
      if (version === undefined || name === undefined) return [];
      const script = readFileSync(join(folder, file), "utf8").replaceAll("\r\n", "\n");
      return [
        { version, name, file, script, contentHash: createHash("sha256").update(script).digest("hex") },
      ];
    })
    .sort((a, b) => (a.version < b.version ? -1 : 1));
  for (const [i, migration] of migrations.entries()) {
    const next = migrations[i + 1];
    if (next?.version === migration.version) {
      throw new LocalSupabaseError(
        "migration-failed",
        `migrations: ${migration.file} and ${next.file} have the same version`,
        { remedy: "Give one of the two files another time stamp." },
      );
    }
  }
  return migrations;
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (cause) {
    throw new LocalSupabaseError("option", `read the migrations folder ${folder}: ${String(cause)}`, {
      remedy: "Name an existing folder, for example supabase/migrations.",
      cause,
    });
  }
}
