/** `npm start`: a local Supabase, and a team of three agents at work on it. */
import "../support/known-notice.ts";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { startLocalSupabase, type LocalSupabase } from "@agent-federation/local-supabase";
import { runTeam } from "../research-team/team.ts";
import { openTimeline, wantsColour } from "../research-team/timeline.ts";
import { explain } from "../support/explain.ts";
import { federationSettings, migrationsFolder, settingsOf } from "../support/project.ts";
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
  const { stop, exitCode } = stopOnSignals();
  const startedAtMs = Date.now();
  let stack: OpenedStack<LocalSupabase>;
  try {
    stack = await openStack(options, (port) =>
      startLocalSupabase({
        port,
        ...(options.dataDir === undefined ? {} : { dataDir: options.dataDir }),
        migrationsDir: migrationsFolder,
      }),
    );
  } catch (error) {
    console.error(`npm start: ${explain(error)}`);
    return stop.aborted ? exitCode() : 1;
  }
  try {
    if (stop.aborted) return exitCode();
    if (stack.note !== undefined) console.log(stack.note);
    introduce(stack.supabase, Date.now() - startedAtMs);
    const isFinished = await work(stack.supabase, options, stop);
    if (stop.aborted) return exitCode();
    if (options.once) return isFinished ? 0 : 1;
    console.log(`\nThe local Supabase stays up at ${stack.supabase.url}. Ctrl-C ends it.`);
    await aborted(stop);
    return isFinished ? 0 : 1;
  } catch (error) {
    console.error(`npm start: ${explain(error)}`);
    return 1;
  } finally {
    await stack.supabase.close();
  }
}

function introduce(supabase: LocalSupabase, tookMs: number): void {
  const lines = {
    SUPABASE_URL: supabase.url,
    SUPABASE_ANON_KEY: supabase.anonKey,
    SUPABASE_SERVICE_ROLE_KEY: supabase.serviceRoleKey,
    SUPABASE_JWT_SECRET: supabase.jwtSecret,
  };
  console.log(paint(`A local Supabase is up at ${supabase.url} (${(tookMs / 1000).toFixed(1)} s)`, "1"));
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

/** The first signal asks everything to end in order, the second ends this process at once; its children notice. */
function stopOnSignals(): { readonly stop: AbortSignal; readonly exitCode: () => number } {
  const controller = new AbortController();
  let code = 130;
  for (const [signal, number] of [
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const) {
    process.on(signal, () => {
      if (controller.signal.aborted) process.exit(number);
      code = number;
      controller.abort();
    });
  }
  return { stop: controller.signal, exitCode: () => code };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}
