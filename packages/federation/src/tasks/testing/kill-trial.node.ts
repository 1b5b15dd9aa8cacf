import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import type { RealtimeFederationHub } from "../../realtime-hub.ts";

/** Where workers join, and as whom. */
export interface WorkerPlace {
  readonly url: string;
  readonly anonKey: string;
  readonly jwtSecret: string;
  readonly tenant: string;
}

/** A worker's process, and what it said it claimed. */
export class WorkerProcess {
  readonly agentId: string;
  readonly claimed: string[] = [];
  readonly #child: ChildProcess;
  #onClaim: () => void = () => {};

  private constructor(agentId: string, child: ChildProcess) {
    this.agentId = agentId;
    this.#child = child;
    child.on("message", (message) => {
      if (typeof message !== "object" || message === null || !("claimed" in message)) return;
      this.claimed.push(String(message.claimed));
      this.#onClaim();
    });
  }

  /** Resolves when it works. */
  static async start(
    agentId: string,
    { url, anonKey, jwtSecret, tenant }: WorkerPlace,
  ): Promise<WorkerProcess> {
    const child = fork(fileURLToPath(new URL("worker-process.node.ts", import.meta.url)), {
      env: {
        ...process.env,
        SUPABASE_URL: url,
        SUPABASE_ANON_KEY: anonKey,
        SUPABASE_JWT_SECRET: jwtSecret,
        SUPABASE_SERVICE_ROLE_KEY: "",
        FEDERATION_ACCESS_TOKEN: "",
        AGENT_ID: agentId,
        AGENT_TENANT: tenant,
      },
      execArgv: ["--import", "tsx", "--conditions=@agent-federation/source"],
      stdio: ["ignore", "ignore", "inherit", "ipc"],
    });
    const worker = new WorkerProcess(agentId, child);
    await new Promise<void>((resolve, reject) => {
      child.on("message", (message) => message === "ready" && resolve());
      child.once("exit", (code) => reject(new Error(`${agentId} ended with ${code} before it worked`)));
    });
    return worker;
  }

  /** Resolves when it has claimed so many since it was started. */
  async hasClaimed(count: number): Promise<void> {
    while (this.claimed.length < count) await new Promise<void>((resolve) => (this.#onClaim = resolve));
  }

  signal(name: "SIGKILL" | "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(name);
  }

  async end(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

/** What came of tasks whose worker was struck. */
export interface KillResult {
  /** Tasks that the worker held when it was struck. */
  readonly held: readonly string[];
  /** For each of these, milliseconds until another worker had claimed it. */
  readonly elsewhereMs: readonly number[];
  readonly wrong: readonly string[];
}

export interface KillTrial {
  readonly boss: RealtimeFederationHub;
  readonly victim: WorkerProcess;
  readonly tasks: readonly string[];
  /** How long each of them takes. */
  readonly takesMs: number;
  /** Strikes the victim, which has claimed something. */
  readonly strike: (victim: WorkerProcess) => Promise<void>;
}

/** Assigns tasks, strikes a worker that holds some, and waits until all are completed: each once, by whoever claimed it last. */
export async function strikeWorker({ boss, victim, tasks, takesMs, strike }: KillTrial): Promise<KillResult> {
  const stop = new AbortController();
  const open = new Set(tasks);
  const completions = new Map<string, number>();
  const holder = new Map<string, string>();
  const elsewhereMs: number[] = [];
  let struckMs = Infinity;
  let held: readonly string[] = [];
  const listening = { signal: stop.signal };
  const allEnded = new Promise<void>((resolve) => {
    boss.on(
      "task:claimed",
      ({ task_id, agent = "" }) => {
        holder.set(task_id, agent);
        if (held.includes(task_id) && agent !== victim.agentId)
          elsewhereMs.push(performance.now() - struckMs);
      },
      listening,
    );
    const onEnd = ({ task_id }: { readonly task_id: string }): void => {
      open.delete(task_id);
      if (open.size === 0) resolve();
    };
    boss.on("task:completed", onEnd, listening);
    boss.on("task:dead", onEnd, listening);
    boss.on("task:failed", onEnd, listening);
    boss.on(
      "message:task_complete",
      ({ payload }) => void completions.set(payload.task_id, (completions.get(payload.task_id) ?? 0) + 1),
      listening,
    );
  });
  const before = victim.claimed.length;
  await boss.assignTasks(
    tasks.map((task_id) => ({ task_id, assigned_to: null, description: "wait", takes_ms: takesMs })),
  );
  await victim.hasClaimed(before + 1);
  held = tasks.filter((id) => open.has(id) && holder.get(id) === victim.agentId);
  struckMs = performance.now();
  await strike(victim);
  await allEnded;
  stop.abort();
  const wrong: string[] = [];
  for (const id of tasks) {
    const task = await boss.getTask(id);
    if (task?.status !== "completed")
      wrong.push(`${id} is ${task?.status ?? "gone"}: ${String(task?.["error"])}`);
    if ((completions.get(id) ?? 0) > 1)
      wrong.push(`${id} was told as completed ${completions.get(id)} times`);
  }
  return { held, elsewhereMs, wrong };
}
