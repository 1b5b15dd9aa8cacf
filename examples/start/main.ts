/** `npm start`: a local Supabase, and a team of three agents at work on it. */
import "../support/known-notice.ts";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { startLocalSupabase, type LocalSupabase } from "@agent-federation/local-supabase";
import { runTeam } from "../research-team/team.ts";
import { openTimeline, wantsColour } from "../research-team/timeline.ts";
import { explain } from "../support/explain.ts";
import { federationSettings, migrationsFolder, settingsOf } from "../support/project.ts";
import { stopOnSignals } from "../support/stop-on-signals.ts";
import { openStack, type OpenedStack } from "./open-stack.ts";
import { parseOptions, usage, type StartOptions } from "./options.ts";

const isColoured = wantsColour(process.stdout, process.env);
const paint = (text: string, code: string): string => (isColoured ? `\u001b[${code}m${text}\u001b[0m` : text);

const asked = parseOptions(process.argv.slice(2));
if ("help" in asked) console.log(usage);
else if ("problem" in asked) {
  console.error(`npm start: ${asked.problem}. npm start -- --help lists the options`);
  process.exitCode = 2;
} else process.exitCode = await start(asked.options);

/** Resolves to the exit code, once nothing of it runs any more. */
async function start(options: StartOptions): Promise<number> {
  const { signal: stop, exitCode } = stopOnSignals();
  let stack: OpenedStack<LocalSupabase>;
  try {
    stack = await openStack(options, (port) => startUnless(stop, port, options.dataDir));
  } catch (error) {
    if (stop.aborted) return exitCode();
    console.error(`npm start: ${explain(error)}`);
    return 1;
  }
  const { supabase, note } = stack;
  try {
    if (note !== undefined) console.log(note);
    introduce(supabase);
    const isFinished = await work(supabase, options, stop);
    if (stop.aborted) return exitCode();
    if (options.once || !isFinished) return isFinished ? 0 : 1;
    console.log(`The local Supabase stays up at ${supabase.url}. Ctrl-C ends it.`);
    const ended = await Promise.race([supabase.closed, aborted(stop)]);
    if (ended === undefined) return 0;
    console.error(`npm start: the local Supabase ended by itself: ${ended.reason}`);
    return 1;
  } catch (error) {
    console.error(`npm start: ${explain(error)}`);
    return 1;
  } finally {
    await supabase.close();
  }
}

/** A stop while it starts undoes the start. Later stops are ours: the agents end before what they talk to. */
async function startUnless(
  stop: AbortSignal,
  port: number,
  dataDir: string | undefined,
): Promise<LocalSupabase> {
  const starting = new AbortController();
  const onStop = (): void => starting.abort(stop.reason);
  stop.throwIfAborted();
  stop.addEventListener("abort", onStop, { once: true });
  try {
    return await startLocalSupabase({
      port,
      ...(dataDir === undefined ? {} : { dataDir }),
      migrationsDir: migrationsFolder,
      signal: starting.signal,
      onProgress: (text) => console.error(text),
    });
  } finally {
    stop.removeEventListener("abort", onStop);
  }
}

function introduce(supabase: LocalSupabase): void {
  const lines = {
    SUPABASE_URL: supabase.url,
    SUPABASE_ANON_KEY: supabase.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: supabase.serviceRoleKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
  };
  console.log(
    paint(`A local Supabase is up at ${supabase.url} (${(supabase.startedInMs / 1000).toFixed(1)} s)`, "1"),
  );
  console.log("For programs of your own, put this into .env. The last two are for servers only:\n");
  for (const [name, value] of Object.entries(lines)) console.log(`${paint(name, "2")}=${value}`);
}

/** Whether the team did everything. */
async function work(
  supabase: LocalSupabase,
  { reportFile }: StartOptions,
  signal: AbortSignal,
): Promise<boolean> {
  const tenantId = `research-team-${randomUUID().slice(0, 8)}`;
  console.log(`\n${paint("Three agents, three processes, one task", "1")}, in the tenant ${tenantId}\n`);
  const timeline = openTimeline({ colour: isColoured, startedAtMs: Date.now() });
  // Settings that are the user's wish (FEDERATION_…) hold; the project is always the one that was started here.
  const wishes = Object.entries(federationSettings()).filter(([name]) => /^FEDERATION_(?!ACCESS)/.test(name));
  const { missing } = await runTeam({
    environment: { ...Object.fromEntries(wishes), ...settingsOf(supabase) },
    tenantId,
    reportFile,
    signal,
    onEvent: (event) => timeline.add(event, Date.now()).forEach((line) => console.log(line)),
  });
  timeline.flush().forEach((line) => console.log(line));
  if (signal.aborted) return false;
  if (missing.length > 0) {
    console.error(`\nThe team did not finish: ${missing.join("; ")}`);
    return false;
  }
  console.log(`\n${paint("The report", "1")}, in ${reportFile}\n`);
  console.log(await readFile(reportFile, "utf8"));
  return true;
}

function aborted(signal: AbortSignal): Promise<undefined> {
  if (signal.aborted) return Promise.resolve(undefined);
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(undefined), { once: true }));
}
