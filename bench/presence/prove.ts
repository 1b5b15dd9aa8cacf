import { once } from "node:events";
import type { ChildProcess } from "node:child_process";
import { randomUUID } from "node:crypto";
import { startOwnProcess } from "../harness/own-process.ts";
import type { SupabaseProcess } from "../harness/supabase.ts";
import type { Change, Order, Said } from "./orders.ts";

export interface Proof {
  readonly agents: number;
  readonly processes: number;
  readonly changes: number;
  /** Between two changes: what the plan carries, or more. */
  readonly everyMs: number;
  readonly signal: AbortSignal;
  readonly tell: (line: string) => void;
}

export interface Proven {
  readonly joinStormMs: number;
  /** From the call that made a change to the last agent whose list showed it. */
  readonly samplesMs: readonly number[];
  readonly byKind: Readonly<Record<string, readonly number[]>>;
  /** Agents whose list at the end was not what it should be. */
  readonly wrongLists: number;
  readonly trouble: readonly string[];
}

/** Agents by the hundred, in some processes; one after the other changes, and each has to be seen by all. */
export async function provePresence(supabase: SupabaseProcess, proof: Proof): Promise<Proven> {
  const { url, anonKey, jwtSecret } = supabase;
  const tenant = `presence-${randomUUID()}`;
  const file = new URL("agents.ts", import.meta.url);
  const trouble: string[] = [];
  const workers = Array.from({ length: proof.processes }, () => {
    const child = startOwnProcess(file, { tenant, url, anonKey, jwtSecret });
    child.on("message", (said: Said) => said.type === "trouble" && trouble.push(said.text));
    return child;
  });
  for (const worker of workers) worker.setMaxListeners(0); // each wait adds some
  const all = (type: Said["type"]): Promise<Said[]> =>
    Promise.all(workers.map((worker) => next(worker, type, proof.signal)));
  const order = (worker: ChildProcess, what: Order): void => void worker.send(what);
  try {
    await all("ready");
    const names = Array.from({ length: proof.agents }, (_, index) => `agent-${index}`);
    const begunMs = Date.now();
    const opened = all("opened");
    for (const [i, worker] of workers.entries())
      order(worker, { type: "open", agents: names.filter((_, index) => index % workers.length === i) });
    await opened;
    const shown = new Map(names.map((name) => [name, "online"]));
    // The last one to join has been seen by all when all have seen what it says next.
    const first = await change(0, "ready");
    const joinStormMs = first.atMs - begunMs;
    proof.tell(`${proof.agents} agents know each other after ${(joinStormMs / 1000).toFixed(1)} s`);

    const byKind: Record<string, number[]> = { update: [], leave: [], join: [] };
    for (let n = 1; n <= proof.changes && !proof.signal.aborted; n++) {
      const startedMs = Date.now();
      const agent = (n * 37) % proof.agents;
      const isHere = shown.has(`agent-${agent}`);
      const kind = !isHere ? "join" : n % 5 === 3 ? "leave" : "update";
      const to = kind === "leave" ? undefined : kind === "join" ? "online" : `busy-${n}`;
      const { tookMs } = await change(agent, to);
      byKind[kind]?.push(tookMs);
      if (kind === "leave") {
        const back = await change(agent, "online");
        byKind["join"]?.push(back.tookMs);
      }
      await new Promise((resolve) =>
        setTimeout(resolve, Math.max(0, startedMs + proof.everyMs - Date.now())),
      );
    }
    const lists = all("lists");
    for (const worker of workers) order(worker, { type: "list" });
    const wanted = JSON.stringify(Array.from(shown, ([name, status]) => `${name} ${status}`).toSorted());
    const wrongLists = (await lists)
      .flatMap((said) => (said.type === "lists" ? said.lists : []))
      .filter((list) => JSON.stringify(list) !== wanted).length;
    return { joinStormMs, samplesMs: Object.values(byKind).flat(), byKind, wrongLists, trouble };

    async function change(index: number, to: string | undefined): Promise<{ atMs: number; tookMs: number }> {
      const made: Change = { agent: `agent-${index}`, ...(to === undefined ? { to: undefined } : { to }) };
      const known = all("known");
      for (const worker of workers) order(worker, { type: "expect", change: made });
      const owner = workers[index % workers.length];
      if (owner === undefined) throw new RangeError(`no worker for agent ${index}`);
      const changed = next(owner, "changed", proof.signal);
      const calledMs = Date.now();
      order(owner, { type: "change", change: made });
      await Promise.all([known, changed]);
      const atMs = Math.max(...(await known).map((said) => ("atMs" in said ? said.atMs : 0)));
      if (to === undefined) shown.delete(made.agent);
      else shown.set(made.agent, to);
      return { atMs, tookMs: atMs - calledMs };
    }
  } finally {
    for (const worker of workers) if (worker.connected) order(worker, { type: "close" });
    await Promise.all(
      workers.filter(({ exitCode }) => exitCode === null).map((worker) => once(worker, "exit")),
    );
  }
}

function next(worker: ChildProcess, type: Said["type"], signal: AbortSignal): Promise<Said> {
  return new Promise((resolve, reject) => {
    const stop = (error: Error): void => {
      worker.off("message", look);
      reject(error);
    };
    const look = (said: Said): void => {
      if (said.type !== type) return;
      worker.off("message", look);
      worker.off("exit", onExit);
      signal.removeEventListener("abort", onAbort);
      resolve(said);
    };
    const onAbort = (): void => stop(new Error("stopped"));
    const onExit = (code: number | null): void => stop(new Error(`a process of agents ended with ${code}`));
    worker.on("message", look);
    worker.once("exit", onExit);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
