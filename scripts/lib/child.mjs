import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

export const root = fileURLToPath(new URL("../../", import.meta.url));

/** Node options that run our TypeScript from source, without a build. */
export const fromSource = ["--import", "tsx", "--conditions=@agent-federation/source"];

/**
 * Runs a program in the repository's root with our terminal and waits for it. Signals that would end us go on to it and
 * end us only through its end, so that it can tidy up. Resolves to its exit code, 128 + n where signal n ended it.
 *
 * @param {string} program
 * @param {readonly string[]} args
 * @param {{ env?: NodeJS.ProcessEnv }} [options]
 * @returns {Promise<number>}
 */
export function run(program, args, { env = process.env } = {}) {
  const child = spawn(program, args, { cwd: root, env, stdio: "inherit" });
  let interrupted = false;
  const release = onSignal((signal) => {
    // A terminal sends SIGINT to all in the foreground, and npm sends it to us once more: one is enough for the child.
    if (signal === "SIGINT" && (process.stdin.isTTY || interrupted)) return;
    interrupted ||= signal === "SIGINT";
    child.kill(signal);
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) => {
      release();
      reject(new Error(`${program}: cannot be started`, { cause }));
    });
    child.once("close", (code, signal) => {
      release();
      resolve(code ?? exitCode(signal));
    });
  });
}

/**
 * Calls `react` instead of ending by a signal, until the returned function is called.
 *
 * @param {(signal: NodeJS.Signals) => void} react
 */
export function onSignal(react) {
  /** @type {readonly NodeJS.Signals[]} */
  const ending = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of ending) process.on(signal, react);
  return () => {
    for (const signal of ending) process.off(signal, react);
  };
}

/** What a shell reports for a program that a signal ended. @param {NodeJS.Signals | null} signal */
export function exitCode(signal) {
  return 128 + (signalNumbers[signal ?? ""] ?? 0);
}

/** @type {Readonly<Record<string, number>>} */
const signalNumbers = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };

/** Runs one of our TypeScript files. @type {(file: string, args: readonly string[], options?: { env?: NodeJS.ProcessEnv }) => Promise<number>} */
export function runSource(file, args, options) {
  return run(process.execPath, [...fromSource, file, ...args], options);
}

/** The same on the built packages: without the paths of our tsconfig, which lead the loader to the sources. @type {(file: string, args: readonly string[]) => Promise<number>} */
export function runBuilt(file, args) {
  const env = { ...process.env, TSX_TSCONFIG_PATH: `${root}tsconfig.base.json` };
  return run(process.execPath, ["--import", "tsx", file, ...args], { env });
}

const commands = {
  vitest: "vitest/vitest.mjs",
  tsc: "typescript/bin/tsc",
  oxlint: "oxlint/bin/oxlint",
  oxfmt: "oxfmt/bin/oxfmt",
};

/** Runs an installed command with this node. @type {(name: keyof typeof commands, args: readonly string[], options?: { env?: NodeJS.ProcessEnv }) => Promise<number>} */
export function runCommand(name, args, options) {
  return run(process.execPath, [`${root}node_modules/${commands[name]}`, ...args], options);
}
