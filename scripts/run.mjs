// Runs a TypeScript file of the repository: node scripts/run.mjs [--built] <file> [argument…]
// From source, or with --built on the packages as they are published, which are built before.
import { runBuilt, runCommand, runSource } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/installed.mjs";
import { bad } from "./lib/terminal.mjs";

const isBuilt = process.argv[2] === "--built";
const [file, ...args] = process.argv.slice(isBuilt ? 3 : 2);
if (file === undefined) {
  bad("usage: node scripts/run.mjs [--built] <file.ts> [argument…]");
  process.exit(2);
}

await ensureInstalled();
if (isBuilt)
  process.exitCode = await runCommand("tsc", ["-b", "packages/local-supabase", "packages/federation"]);
if (!process.exitCode) process.exitCode = await (isBuilt ? runBuilt : runSource)(file, args);
