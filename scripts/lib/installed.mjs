import { readFileSync } from "node:fs";
import { root, run } from "./child.mjs";
import { differenceBetween } from "./lock.mjs";
import { bad, good, since, step } from "./terminal.mjs";

const oldestNode = [20, 19];

/**
 * Makes sure that what package-lock.json names is installed, by `npm ci` where it is not. Ends the process with a
 * clear line where that is impossible: nothing of ours can run then.
 */
export async function ensureInstalled() {
  requireNode();
  const due = whyInstall();
  if (due === undefined) return;
  const start = Date.now();
  step(`installing npm packages, some 200 MB (${due})`);
  // Packages that declare a newer Node than ours fill the screen with warnings, which are known and harmless.
  const code = await runNpm([
    "ci",
    "--no-audit",
    "--include=dev",
    "--include=optional",
    "--no-fund",
    "--loglevel=error",
  ]);
  if (code !== 0) {
    bad(
      `npm ci ended with exit code ${code}: see above. Without a network, fill npm's cache on a machine that has one.`,
    );
    process.exit(code);
  }
  good(`npm packages installed in ${since(start)}`);
}

/** npm writes its record last, so an installation that was cut off counts as none. */
function whyInstall() {
  const read = (/** @type {string} */ path) => JSON.parse(readFileSync(`${root}${path}`, "utf8"));
  let record;
  try {
    record = read("node_modules/.package-lock.json");
  } catch {
    return "none are there yet";
  }
  return differenceBetween(read("package-lock.json"), record);
}

function requireNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [wantedMajor = 0, wantedMinor = 0] = oldestNode;
  if (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor)) return;
  bad(`Node ${oldestNode.join(".")} or newer is needed, this is ${process.versions.node}`);
  process.exit(1);
}

/** npm as it runs us, else the one on the PATH. @param {readonly string[]} args */
async function runNpm(args) {
  const self = process.env["npm_execpath"];
  if (self !== undefined && self.endsWith("npm-cli.js")) return await run(process.execPath, [self, ...args]);
  return await run(process.platform === "win32" ? "npm.cmd" : "npm", args);
}
