import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runCommand } from "./child.mjs";

/**
 * Runs vitest and closes with one line that people and machines read: `12 passed, 0 failed, 1 skipped`.
 * Resolves to its exit code.
 *
 * @param {readonly string[]} args
 * @param {NodeJS.ProcessEnv} env
 */
export async function runTests(args, env) {
  const folder = mkdtempSync(join(tmpdir(), "agent-federation-tests-"));
  try {
    const report = join(folder, "report.json");
    const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
    const code = await runCommand("vitest", ["run", ...reporters, ...args], { env });
    if (existsSync(report))
      process.stdout.write(`${closingLine(JSON.parse(readFileSync(report, "utf8")))}\n`);
    return code;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {{ numPassedTests: number, numFailedTests: number, numPendingTests: number, numTodoTests: number }} report */
function closingLine({ numPassedTests, numFailedTests, numPendingTests, numTodoTests }) {
  return `${numPassedTests} passed, ${numFailedTests} failed, ${numPendingTests + numTodoTests} skipped`;
}
