// npm start: a local Supabase, and three agents that work together on it. npm start -- --help lists its options.
import { runSource } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/installed.mjs";

await ensureInstalled();
process.exitCode = await runSource("examples/start/main.ts", process.argv.slice(2));
