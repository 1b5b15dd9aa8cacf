/**
 * A coordinator and workers that come and go, each a process: one is killed in the middle of its work, one joins late, and every
 * task ends. `npx tsx examples/load-balancing/main.ts`
 */
import "../support/known-notice.ts";
import { fork, type ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { createRealtimeHub, mintAgentToken } from "agent-federation";
import { explain } from "../support/explain.ts";
import { federationSettings, openProject } from "../support/project.ts";
import { stopOnSignals } from "../support/stop-on-signals.ts";
import { piecesOf, Plan } from "./plan.ts";

const limit = 1_200_000;
const primesBelowLimit = 92_938; // π(1,200,000)
const tenantId = `worker-pool-${randomUUID().slice(0, 8)}`;

const stop = stopOnSignals();
const project = await openProject(stop.signal);
Object.assign(process.env, project.environment);
const children = new Map<string, ChildProcess>();
const plan = new Plan(piecesOf(limit, 24));
const coordinator = createRealtimeHub("coordinator", tenantId);

let stopWaiting = (_problem?: string): void => undefined;
const ended = new Promise<string | undefined>((resolve) => (stopWaiting = resolve));
if (stop.signal.aborted) stopWaiting("stopped");
stop.signal.addEventListener("abort", () => stopWaiting("stopped"));
const timer = setTimeout(() => stopWaiting("not done within 150 s"), 150_000);

const killed = "worker-2";
const late = "worker-4";
let retried: string[] = [];
const expected = new Set(["worker-1", killed, "worker-3"]);
let isLateHere = false;
let lateDid = 0;

coordinator.on("agent:join", ({ agent_id }) => {
  if (!agent_id.startsWith("worker-")) return;
  console.log(`${agent_id} is here`);
  plan.join(agent_id);
  isLateHere ||= agent_id === late;
  expected.delete(agent_id);
  handOut();
});

coordinator.on("agent:leave", ({ agent_id }) => {
  const lost = plan.leave(agent_id).map((piece) => piece.name);
  if (agent_id === killed) retried = [...retried, ...lost];
  console.log(`${agent_id} is gone${lost.length === 0 ? "" : `, somebody else does ${lost.join(", ")}`}`);
  handOut();
});

coordinator.on("message:task_complete", ({ payload: { task_id, result, completed_by } }) => {
  const { primes } = result as { primes: number }; // what our own worker sends
  if (!plan.complete(task_id, primes)) return;
  if (completed_by === late) lateDid += 1;
  console.log(`${completed_by} did ${task_id}: ${primes} primes (${plan.done} of 24)`);
  if (plan.isDone) stopWaiting();
  else handOut();
});

coordinator.on("error", ({ error }) => stopWaiting(error.message));

try {
  await coordinator.initialize();
  if (!stop.signal.aborted) await Promise.all([...expected].map(startWorker));
  const problem = await ended;
  const problems = [
    ...(problem === undefined ? [] : [problem]),
    ...(plan.sum === primesBelowLimit ? [] : [`expected ${primesBelowLimit} primes, counted ${plan.sum}`]),
    ...(retried.length > 0 ? [] : [`no work of ${killed} was done by somebody else`]),
    ...(lateDid > 0 ? [] : [`${late}, who joined late, did nothing`]),
  ];
  for (const each of problems) console.error(`failed: ${each}`);
  if (stop.signal.aborted) process.exitCode = stop.exitCode();
  else if (problems.length > 0) process.exitCode = 1;
  else console.log(`All 24 tasks are done: ${plan.sum} primes below ${limit}`);
} catch (error) {
  console.error(`failed: ${explain(error)}`);
  process.exitCode = 1;
} finally {
  clearTimeout(timer);
  await Promise.all([...children.values()].map(endWorker));
  await coordinator.shutdown();
  await project.close();
}

function handOut(): void {
  if (expected.size > 0) return; // a fair start: nobody is done before the others are here
  // However fast the others are, something is left for the one that joins late.
  for (const { piece, worker, taskId } of plan.next(isLateHere ? 0 : 4)) {
    const { from, to } = piece;
    const isLast = worker === killed && plan.done >= 6;
    // Frozen before the order is given, it cannot be done with it before it is killed.
    if (isLast) children.get(killed)?.kill("SIGSTOP");
    const task = {
      task_id: taskId,
      assigned_to: worker,
      description: `Count the primes from ${from} to ${to}`,
    };
    coordinator
      .assignTask({ ...task, priority: "medium", from, to })
      .then(() => (isLast ? killAndReplace() : undefined))
      .catch((error: unknown) => stopWaiting(String(error)));
  }
}

/** Whoever dies with work in hand is missed after the grace time; somebody new is here before that. */
async function killAndReplace(): Promise<void> {
  console.log(`${killed} is killed with ${plan.ordersOf(killed).length} task in hand`);
  children.get(killed)?.kill("SIGKILL");
  await startWorker(late);
}

/** With the JWT secret a worker gets a token of its own, and no secret. */
async function startWorker(agentId: string): Promise<void> {
  const {
    SUPABASE_JWT_SECRET: secret,
    SUPABASE_SERVICE_ROLE_KEY: serviceRoleKey,
    ...settings
  } = federationSettings();
  const own =
    secret !== undefined
      ? { FEDERATION_ACCESS_TOKEN: await mintAgentToken({ secret, tenantId, agentId }) }
      : serviceRoleKey === undefined
        ? {}
        : { SUPABASE_SERVICE_ROLE_KEY: serviceRoleKey };
  const { PATH } = process.env;
  const script = fileURLToPath(new URL("worker.ts", import.meta.url));
  const child = fork(script, [agentId, tenantId], { env: { PATH, ...settings, ...own } });
  children.set(agentId, child);
  child.once("error", (error) => stopWaiting(`${agentId} did not start: ${error.message}`));
  child.once("exit", (code) => {
    if (code !== null && code !== 0) stopWaiting(`${agentId} ended with exit code ${code}`);
  });
}

async function endWorker(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined) return;
  const exited = once(child, "exit");
  const impatient = setTimeout(() => child.kill("SIGKILL"), 5_000);
  if (child.connected) child.disconnect();
  await exited;
  clearTimeout(impatient);
}
