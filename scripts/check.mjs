// npm run check: what can be found without running the code, cheapest first. All of it runs, then the verdict.
import { run, runCommand } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/installed.mjs";
import { bad, good, helpIfAsked, since, step } from "./lib/terminal.mjs";

helpIfAsked(`
npm run check

Types of source, tests and examples, and of the packages as they are built; lint with type information, in which the layers are
rules; format; the repository's own hygiene. npm run format repairs the format.`);

/** @type {readonly { name: string, run: () => Promise<number> }[]} */
const checks = [
  { name: "types", run: () => runCommand("tsc", ["--noEmit", "-p", "tsconfig.json"]) },
  {
    name: "build",
    run: () => runCommand("tsc", ["-b", "--noEmit", "packages/local-supabase", "packages/federation"]),
  },
  { name: "lint and layers", run: () => runCommand("oxlint", ["--type-aware", "--deny-warnings"]) },
  { name: "format", run: () => runCommand("oxfmt", ["--check", "."]) },
  { name: "hygiene", run: () => run(process.execPath, ["scripts/check-hygiene.mjs"]) },
];

await ensureInstalled();
const start = Date.now();
const failed = [];
for (const check of checks) {
  step(check.name);
  if ((await check.run()) !== 0) failed.push(check.name);
}
if (failed.length === 0) good(`checked in ${since(start)}`);
else {
  bad(`failed: ${failed.join(", ")}`);
  process.exitCode = 1;
}
