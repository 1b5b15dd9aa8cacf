// npm start: a local Supabase, and three agents that work together on it.
import { runSource } from "./lib/child.mjs";
import { ensureInstalled } from "./lib/installed.mjs";
import { helpIfAsked } from "./lib/terminal.mjs";

helpIfAsked(`
npm start [-- --once]

Starts a local Supabase, prints its URL, its keys and what to put into .env, and lets a research team of three agents,
each a process of its own, work on it. Stays up until Ctrl-C; with --once it ends when the team has finished, with exit
code 0 only if it did. Installs npm packages first where they are missing.`);

await ensureInstalled();
process.exitCode = await runSource("examples/start/main.ts", process.argv.slice(2));
