import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { WorkerOptions } from "node:worker_threads";

const isSource = import.meta.url.endsWith(".ts");

/** Whether the file is where this package has it: a bundler that puts a program into one file leaves it behind. */
export function canStartThread(built: URL): boolean {
  return built.protocol === "file:" && existsSync(isSource ? sourceOf(built) : built);
}

/** Starts a file of this package as a thread: `built` is its place in the built package; from source, the file of that name there. */
export function startThread(built: URL, options: Pick<WorkerOptions, "name" | "workerData">): Worker {
  if (!isSource) return new Worker(built, options);
  // Node 20 applies a loader given by --import to what a worker imports, but not to the worker's own file.
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm/api")).href;
  const entry = sourceOf(built).href;
  const script = `import(${JSON.stringify(loader.replace(/cjs$/, "mjs"))}).then(({ register }) => {
    register();
    return import(${JSON.stringify(entry)});
  })`;
  return new Worker(script, { ...options, eval: true, execArgv: [] });
}

function sourceOf(built: URL): URL {
  return new URL(built.href.replace(/js$/, "ts"));
}
