import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { mintAgentToken } from "agent-federation";
import { team } from "./agent.ts";
import { missingFrom } from "./check-team.ts";
import { parseTeamEvent, type TeamEvent } from "./team-event.ts";

export interface TeamOptions {
  /** Where the project is and what proves who somebody is: SUPABASE_URL and the like. With SUPABASE_JWT_SECRET each agent gets only a token of its own. */
  readonly environment: Readonly<Record<string, string>>;
  readonly tenantId: string;
  /** Where the report goes. */
  readonly reportFile: string;
  /** How long the team may take. Default 120000. */
  readonly timeoutMs?: number;
  readonly signal: AbortSignal;
  /** Called for everything that happens, as it happens. */
  readonly onEvent: (event: TeamEvent) => void;
}

export interface TeamResult {
  readonly reportFile: string;
  /** Empty when the team did everything; else what is missing, in words. */
  readonly missing: readonly string[];
}

const scripts = {
  [team.researcher]: "researcher.ts",
  [team.analyst]: "analyst.ts",
  [team.writer]: "writer.ts",
};

/** Starts the three agents, each in a process of its own, and ends them when the work is done, impossible, late or aborted. */
export async function runTeam(options: TeamOptions): Promise<TeamResult> {
  const { tenantId, reportFile, timeoutMs = 120_000, signal, onEvent } = options;
  const agents = Object.keys(scripts);
  const events: TeamEvent[] = [];
  const children: ChildProcess[] = [];
  let finish = (): void => undefined;
  const done = new Promise<void>((resolve) => (finish = resolve));
  const onAbort = (): void => finish();
  const timer = setTimeout(() => finish(), timeoutMs);
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) finish();

  try {
    for (const [agentId, script] of Object.entries(scripts)) {
      const environment = await environmentOf(agentId, options);
      if (signal.aborted) break;
      const child = startAgent(script, environment);
      children.push(child);
      child.on("message", (message) => {
        const event = parseTeamEvent(message);
        if (event === undefined) return;
        events.push(event);
        onEvent(event);
        if (event.kind === "failed" || missingFrom(events, agents).length === 0) finish();
      });
      const fail = (text: string): void => {
        if (signal.aborted) return;
        const event: TeamEvent = { kind: "failed", agent: agentId, text };
        events.push(event);
        onEvent(event);
        finish();
      };
      child.once("error", (error) => fail(`did not start: ${error.message}`));
      child.once("exit", (code, by) => {
        if (code !== 0 && !events.some((event) => event.agent === agentId && event.kind === "failed")) {
          fail(`ended early, ${by === null ? `exit code ${code}` : by}`);
        }
      });
    }
    await done;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
    await Promise.all(children.map(endAgent));
  }
  return { reportFile, missing: missingFrom(events, agents) };

  async function environmentOf(
    agentId: string,
    { environment }: TeamOptions,
  ): Promise<Record<string, string>> {
    const { SUPABASE_JWT_SECRET: secret, ...rest } = environment;
    const own = { ...rest, TEAM_TENANT: tenantId, TEAM_REPORT: reportFile };
    if (secret === undefined) return own;
    const { SUPABASE_SERVICE_ROLE_KEY: _, ...withoutSecrets } = own as Record<string, string>; // the literal above is one
    return {
      ...withoutSecrets,
      FEDERATION_ACCESS_TOKEN: await mintAgentToken({ secret, tenantId, agentId }),
    };
  }
}

function startAgent(script: string, environment: Record<string, string>): ChildProcess {
  const names = ["PATH", "HOME", "NODE_OPTIONS", "TSX_TSCONFIG_PATH", "TEAM_DOCUMENTS", "TEAM_TOPIC"];
  const inherited = names.flatMap((name) =>
    process.env[name] === undefined ? [] : [[name, process.env[name]]],
  );
  // What an agent may know is given to it, nothing more: this process may hold secrets.
  return fork(fileURLToPath(new URL(script, import.meta.url)), {
    env: { ...Object.fromEntries(inherited), ...environment },
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

/** Lets it leave in good order, and ends it if it does not. */
async function endAgent(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  const impatient = setTimeout(() => child.kill("SIGKILL"), 5_000);
  if (child.connected) child.send("stop");
  await exited;
  clearTimeout(impatient);
}
