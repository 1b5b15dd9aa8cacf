/** `npx tsx examples/research-team/main.ts`: the team against the Supabase of the environment, or against a local one. */
import "../support/known-notice.ts";
import { randomUUID } from "node:crypto";
import { resolve } from "node:path";
import { openProject } from "../support/project.ts";
import { stopOnSignals } from "../support/stop-on-signals.ts";
import { runTeam } from "./team.ts";
import { openTimeline, wantsColour } from "./timeline.ts";

const stop = stopOnSignals();

const project = await openProject(stop.signal);
const timeline = openTimeline({ colour: wantsColour(process.stdout, process.env), startedAtMs: Date.now() });
const print = (lines: readonly string[]): void => lines.forEach((line) => console.log(line));
try {
  const { reportFile, missing } = await runTeam({
    environment: project.environment,
    tenantId: `research-team-${randomUUID().slice(0, 8)}`,
    reportFile: resolve(".agent-federation/research-team/report.md"),
    signal: stop.signal,
    onEvent: (event) => print(timeline.add(event, Date.now())),
  });
  print(timeline.flush());
  if (!stop.signal.aborted) for (const each of missing) console.error(`missing: ${each}`);
  if (stop.signal.aborted) process.exitCode = stop.exitCode();
  else if (missing.length === 0) console.log(`The report: ${reportFile}`);
  else process.exitCode = 1;
} finally {
  await project.close();
}
