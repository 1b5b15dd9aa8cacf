// Writes what is made from supabase/migrations: node --import tsx scripts/schema-write.ts
import { schemaFiles } from "../test-support/sql-files.ts";
import { writeFileSync } from "node:fs";

for (const { path, text } of await schemaFiles()) {
  writeFileSync(path, text);
  console.log(path);
}
