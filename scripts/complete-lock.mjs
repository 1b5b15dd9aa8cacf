// Adds to package-lock.json the optional packages for other platforms that npm left out.
//
// npm writes only those it could look up. Where only the packages of some platforms can be had, the others are
// silently missing, and then `npm ci` refuses the file on every machine. What an entry needs is in the name:
// @oxlint/binding-linux-x64-musl. Run it after `npm install`; `npm run check` says when it is due.
import { readFileSync, writeFileSync } from "node:fs";
import { good, step } from "./lib/terminal.mjs";
import { missingOptional } from "./lib/lock.mjs";
import { root } from "./lib/child.mjs";

const path = `${root}package-lock.json`;
const lock = JSON.parse(readFileSync(path, "utf8"));
for (const { name, version, from } of missingOptional(lock)) {
  step(`${name} ${version}`);
  lock.packages[`node_modules/${name}`] = entry(name, version, from);
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
writeFileSync(path, `${JSON.stringify({ ...lock, packages: Object.fromEntries(sorted) }, null, 2)}\n`);
good("package-lock.json is complete");

/** @param {string} name @param {string} version @param {{ dev?: boolean, engines?: object }} from */
function entry(name, version, from) {
  const words = name.split("/").at(-1)?.split("-") ?? [];
  const os = words.find((word) =>
    /^(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)$/.test(word),
  );
  const cpu = words.find((word) => /^(arm|arm64|ia32|loong64|mips64el|ppc64|riscv64|s390x|x64)$/.test(word));
  if (os === undefined || cpu === undefined)
    throw new Error(`${name}: its name does not say for which platform it is`);
  const libc = { gnu: "glibc", musl: "musl" }[words.at(-1) ?? ""];
  return {
    version,
    cpu: [cpu],
    ...(from.dev === true ? { dev: true } : {}),
    ...(os === "linux" && libc !== undefined ? { libc: [libc] } : {}),
    optional: true,
    os: [os],
  };
}
