// npm test: everything the tests need is installed where it is missing, then all of them run.
import { ensureInstalled } from "./lib/installed.mjs";
import { runTests } from "./lib/counts.mjs";
import { bad, helpIfAsked, note, step } from "./lib/terminal.mjs";

helpIfAsked(`
npm test [-- <part of a file name> …] [-- <vitest option> …]

Runs all tests: the pure ones and those against a local Supabase that they start themselves. Installs npm packages and,
for the browser test, Chromium (Debian, as root) where they are missing; elsewhere an installed Chrome is used, or the
program that CHROMIUM_PATH names. npm run test:pg runs the same stack tests against a native Postgres.`);

await ensureInstalled();
const chromium = await findChromium();
const env = chromium === undefined ? process.env : { ...process.env, CHROMIUM_PATH: chromium };
process.exitCode = await runTests(process.argv.slice(2), env);

/** Without a browser a developer's run skips one test and says so; on CI that would be a test nobody runs. */
async function findChromium() {
  const { tsImport } = await import("tsx/esm/api");
  const { ensureChromium } = await tsImport("../test-support/chromium/ensure-chromium.ts", import.meta.url);
  try {
    return await ensureChromium(step);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (process.env["CI"] !== undefined) {
      bad(message);
      process.exit(1);
    }
    note(`${message}. The browser test is skipped.`);
    return undefined;
  }
}
