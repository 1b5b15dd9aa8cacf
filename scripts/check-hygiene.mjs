// What must not be in a tracked file: paths of somebody's machine, addresses that packages came from, a lock file that
// `npm ci` refuses on other platforms.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync } from "node:fs";
import { root } from "./lib/child.mjs";
import { missingOptional } from "./lib/lock.mjs";
import { bad } from "./lib/terminal.mjs";

const self = "scripts/check-hygiene.mjs";
const machinePath = /(?<![\w.~-])\/(?:work|home\/[a-z][\w-]*|Users\/[A-Za-z][\w-]*|root)\/[\w.-]+/;
const largestBytes = 2_000_000;

const complaints = [...trackedFiles().flatMap(complaintsOf), ...complaintsOfLock()];
for (const complaint of complaints) bad(complaint);
if (complaints.length > 0) process.exitCode = 1;

function trackedFiles() {
  // A copy without git, as from an archive, has nothing to commit.
  if (!existsSync(`${root}.git`)) return [];
  const listed = execFileSync("git", ["ls-files", "-z"], {
    cwd: root,
    encoding: "utf8",
    maxBuffer: 64 * 1024 * 1024,
  });
  return listed.split("\0").filter((file) => file !== "" && file !== self && existsSync(root + file));
}

/** @param {string} file */
function complaintsOf(file) {
  const { size } = statSync(root + file);
  if (size > largestBytes)
    return [`${file}: ${size} bytes; the repository takes files up to ${largestBytes}`];
  const lines = readFileSync(root + file, "utf8").split("\n");
  return lines.flatMap((line, index) => {
    const found = machinePath.exec(line)?.[0];
    return found === undefined ? [] : [`${file}:${index + 1}: a path of one machine: ${found}`];
  });
}

function complaintsOfLock() {
  /** @type {import("./lib/lock.mjs").Lock} */
  const lock = JSON.parse(readFileSync(`${root}package-lock.json`, "utf8"));
  const addressed = Object.entries(lock.packages)
    .filter(([, { resolved }]) => resolved?.startsWith("http") === true)
    .map(
      ([path]) => `package-lock.json: ${path} names the address it came from; npm needs only its integrity`,
    );
  const missing = missingOptional(lock).map(
    ({ name }) => `package-lock.json: no entry for ${name}; run node scripts/complete-lock.mjs`,
  );
  return [...addressed, ...missing];
}
