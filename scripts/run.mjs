// Runs a TypeScript file of the repository from source: node scripts/run.mjs <file> [argument…]
import { runSource } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/installed.mjs";
import { bad } from "./lib/terminal.mjs";

const [file, ...args] = process.argv.slice(2);
if (file === undefined) {
  bad("usage: node scripts/run.mjs <file.ts> [argument…]");
  process.exit(2);
}

await ensureInstalled();
process.exitCode = await runSource(file, args);
