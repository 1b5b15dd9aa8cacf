// npm run test:pg: the stack tests against a native Postgres, started for them and removed afterwards.
import { runTests } from "./lib/counts.mjs";
import { ensureInstalled } from "./lib/installed.mjs";
import { withPostgres } from "./lib/postgres.mjs";
import { helpIfAsked, step } from "./lib/terminal.mjs";

helpIfAsked(`
npm run test:pg [-- <part of a file name> …] [-- <vitest option> …]

Runs the stack tests (*.stack.test.ts) against a native Postgres 15 or newer with pgvector. Where none is installed it
is installed first (Debian, as root). The server runs as an unprivileged user in a temporary folder, listens on
127.0.0.1 only, and is ended and removed afterwards, also after Ctrl-C.`);

await ensureInstalled();
process.exitCode = await withPostgres({}, async (url, version) => {
  step(`stack tests on ${version}`);
  return await runTests(["--project", "stack", ...process.argv.slice(2)], {
    ...process.env,
    TEST_DATABASE_URL: url,
  });
});
