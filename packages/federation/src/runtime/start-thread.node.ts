import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";
import { Worker } from "node:worker_threads";
import type { WorkerOptions } from "node:worker_threads";

/** Starts a file of this package as a thread: `built` is its place in the built package; from source, the file of that name there. */
export function startThread(built: URL, options: Pick<WorkerOptions, "name" | "workerData">): Worker {
  if (!import.meta.url.endsWith(".ts")) return new Worker(built, options);
  // Node 20 applies a loader given by --import to what a worker imports, but not to the worker's own file.
  const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx/esm/api")).href;
  const entry = built.href.replace(/js$/, "ts");
  const script = `import(${JSON.stringify(loader.replace(/cjs$/, "mjs"))}).then(({ register }) => {
    register();
    return import(${JSON.stringify(entry)});
  })`;
  return new Worker(script, { ...options, eval: true, execArgv: [] });
}
