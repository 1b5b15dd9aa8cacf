// Runs a command with a native Postgres of its own: node scripts/with-postgres.mjs [--durable] <command> [argument…]
import { run } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/installed.mjs";
import { withPostgres } from "./lib/postgres.mjs";
import { bad, step } from "./lib/terminal.mjs";

const args = process.argv.slice(2);
const durable = args[0] === "--durable";
if (durable) args.shift();
const [program, ...rest] = args;
if (program === undefined) {
  bad(
    "usage: node scripts/with-postgres.mjs [--durable] <command> [argument…], which finds TEST_DATABASE_URL",
  );
  process.exit(2);
}

await ensureInstalled();
process.exitCode = await withPostgres({ durable }, async (url, version) => {
  step(`${version} at ${url}`);
  return await run(program, rest, { env: { ...process.env, TEST_DATABASE_URL: url } });
});
