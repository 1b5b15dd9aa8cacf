import { randomUUID } from "node:crypto";
import { inspect } from "node:util";
import {
  createRealtimeHub,
  type HubOptions,
  type Log,
  type RealtimeFederationHub,
} from "../../packages/federation/src/index.ts";
import { startTcpProxy, type TcpProxy } from "../../packages/federation/src/testing/tcp-proxy.node.ts";
import { lost, type EndedTask, type Process, type Sent, type Heard, type Story } from "./check.ts";
import { agentCount, type Step, type Weather } from "./history.ts";

/** A Supabase that can be killed and comes back with the same URL, keys and data. */
export interface Server {
  readonly url: string;
  readonly anonKey: string;
  readonly jwtSecret: string;
  readonly serviceRoleKey: string;
  restart?(): Promise<void>;
}

interface Agent {
  readonly id: string;
  proxy: TcpProxy;
  hub: RealtimeFederationHub | undefined;
  process: string;
  weather: Weather;
}

// Short, so that what a dead network swallows is found out within a history.
const patience = { requestTimeoutMs: 1_500, socketHeartbeatMs: 500, presenceHeartbeat: 1_000 };
const settleMs = 60_000;
const mostLogged = 200;
const inspected = { breakLength: Infinity, depth: 1 };

/** Agents, their networks and what they said: lives through one history. */
export class World {
  readonly #server: Server;
  readonly #tenant = `soak-${randomUUID()}`;
  readonly #agents: Agent[] = [];
  readonly #sends: Sent[] = [];
  readonly #heard: Heard[] = [];
  readonly #processes = new Map<string, Process>();
  readonly #tasks: { readonly taskId: string; isAcknowledged: boolean }[] = [];
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #goodbyes: Promise<unknown>[] = [];
  readonly #lookers = new Set<() => void>();
  readonly #works: boolean;
  readonly #options: HubOptions;
  /** What the hubs said last. */
  readonly #log: string[] = [];
  #n = 0;

  static async open(server: Server, works: boolean, options: HubOptions = {}): Promise<World> {
    const world = new World(server, works, options);
    await Promise.all(Array.from({ length: agentCount }, (_, index) => world.#bear(`agent-${index}`)));
    return world;
  }

  private constructor(server: Server, works: boolean, options: HubOptions) {
    this.#server = server;
    this.#works = works;
    this.#options = { memorySync: false, ...patience, initializeTimeoutMs: 20_000, ...options };
  }

  async take(step: Step): Promise<void> {
    switch (step.type) {
      case "send":
        return this.#send(step.from, `agent-${step.to}`);
      case "broadcast":
        return this.#send(step.from, undefined);
      case "assign":
        return this.#assign(step.from, step.to === undefined ? undefined : `agent-${step.to}`);
      case "network":
        return this.#turn(this.#agent(step.agent), step.weather);
      case "restart agent":
        return await this.#restartAgent(this.#agent(step.agent), step.how);
      case "restart server":
        return await this.#server.restart?.();
      case "breathe":
        if (this.#underWay.size > 0) await Promise.race(this.#underWay);
    }
  }

  /** The network heals; resolves when everything acknowledged was handled, or after a minute, to what came of it. */
  async end(): Promise<Story> {
    for (const agent of this.#agents) this.#turn(agent, "restore");
    await Promise.all(this.#underWay);
    const deadlineMs = Date.now() + settleMs;
    const isOver = (): boolean => lost(this.#story([], [])).length === 0;
    await this.#until(isOver, deadlineMs);
    let ended = await this.#readTasks();
    while (ended.tasks.some(({ status }) => !isFinal(status)) && Date.now() < deadlineMs) {
      await this.#until(() => false, Date.now() + 200);
      ended = await this.#readTasks();
    }
    return this.#story(ended.tasks, ended.leases);
  }

  /** What the database and the hubs say, for whoever has to find out why something is wrong. */
  async facts(): Promise<string[]> {
    const open = await this.#read("agent_messages", "handled_at=is.null&to_agent=not.is.null&select=*");
    const sessions = await this.#read(
      "agent_sessions",
      "select=session_id,agent_id,started_at,last_seen_at,ended_at,end_reason",
    );
    const hubs = this.#agents.map(({ id, hub, process }) => ({ id, process, state: hub?.state }));
    const now = [{ now: new Date().toISOString() }];
    return [...[...now, ...open, ...sessions, ...hubs].map((fact) => JSON.stringify(fact)), ...this.#log];
  }

  async close(): Promise<void> {
    await Promise.all(this.#agents.map(async ({ hub }) => await hub?.shutdown()));
    await Promise.all(this.#goodbyes);
    await Promise.all(this.#agents.map(({ proxy }) => proxy.close()));
  }

  async #bear(id: string, place?: Agent): Promise<void> {
    const { url, anonKey, jwtSecret } = this.#server;
    const agent = place ?? {
      id,
      proxy: await startTcpProxy(url),
      hub: undefined,
      process: "",
      weather: "restore",
    };
    if (place === undefined) this.#agents.push(agent);
    const options = { url: agent.proxy.url, anonKey, jwtSecret, ...this.#options };
    for (;;) {
      const process = `${id} ${this.#processes.size}`;
      const log: Log = (level, message, facts) => {
        this.#log.push(
          `${new Date().toISOString()} ${process} ${level} ${message} ${inspect(facts, inspected)}`,
        );
        if (this.#log.length > mostLogged) this.#log.shift();
      };
      const hub = createRealtimeHub(id, this.#tenant, { ...options, log });
      this.#processes.set(process, { agent: id, ended: "no" });
      hub.on("message:note", ({ payload }) => {
        this.#heard.push({ n: (payload as { n: number }).n, process }); // ours
        for (const look of this.#lookers) look();
      });
      hub.on("error", () => {}); // trouble is what we make
      try {
        await hub.initialize();
        Object.assign(agent, { hub, process });
        if (this.#works)
          void hub.work((task) => ({ by: process, task: task.task_id }), { concurrency: 4, graceMs: 0 });
        return;
      } catch {
        this.#processes.set(process, { agent: id, ended: "lost" });
        this.#turn(agent, "restore"); // nobody is born into a dead network for ever
      }
    }
  }

  #send(from: number, to: string | undefined): void {
    const { id, hub } = this.#agent(from);
    if (hub === undefined) return;
    const n = ++this.#n;
    const witnesses = this.#agents
      .filter((other) => other.id !== id && other.hub !== undefined)
      .map(({ process }) => process);
    const sent: Sent = { n, from: id, to, isAcknowledged: false, witnesses };
    this.#sends.push(sent);
    const call =
      to === undefined ? hub.broadcast("note", { n }, { durable: true }) : hub.sendMessage(to, "note", { n });
    this.#track(call.then(() => void (sent.isAcknowledged = true)));
  }

  #assign(from: number, to: string | undefined): void {
    const { hub } = this.#agent(from);
    if (hub === undefined) return;
    const task = { taskId: `task-${++this.#n}`, isAcknowledged: false };
    this.#tasks.push(task);
    const what = { task_id: task.taskId, description: "soak", max_attempts: 100 };
    const whose = to === undefined ? { ...what, assigned_to: null } : { ...what, assigned_to: to };
    this.#track(hub.assignTask(whose).then(() => void (task.isAcknowledged = true)));
  }

  #turn(agent: Agent, weather: Weather): void {
    const { proxy } = agent;
    agent.weather = weather === "cut" ? "restore" : weather;
    switch (weather) {
      case "cut":
        proxy.restore();
        return proxy.cut();
      case "refuse":
        return proxy.refuse();
      case "hold":
        return proxy.hold();
      case "swallow":
        return proxy.swallow();
      case "half-open":
        return proxy.halfOpen();
      case "delay":
        return proxy.delay(50);
      case "restore":
        return proxy.restore();
    }
  }

  /** A crash is what others see of one: its connections end and nothing more is said; then a new process begins. */
  async #restartAgent(agent: Agent, how: "shutdown" | "crash"): Promise<void> {
    const { hub, process, proxy } = agent;
    if (hub === undefined) return;
    agent.hub = undefined;
    if (how === "crash") {
      this.#processes.set(process, { agent: agent.id, ended: "lost" });
      proxy.refuse();
      this.#goodbyes.push(hub.shutdown().then(() => proxy.close()));
      agent.proxy = await startTcpProxy(this.#server.url);
      agent.weather = "restore";
    } else {
      const wasCalm = agent.weather === "restore";
      await hub.shutdown();
      this.#processes.set(process, { agent: agent.id, ended: wasCalm ? "clean" : "lost" });
    }
    await this.#bear(agent.id, agent);
  }

  #agent(index: number): Agent {
    const id = `agent-${index}`;
    const agent = this.#agents.find((each) => each.id === id);
    if (agent === undefined) throw new RangeError(`no ${id}`);
    return agent;
  }

  #track(call: Promise<unknown>): void {
    const ended = call.catch(() => {}).finally(() => void this.#underWay.delete(ended));
    this.#underWay.add(ended);
  }

  /** Looked at whenever something is heard; after the deadline it resolves all the same. */
  #until(test: () => boolean, deadlineMs: number): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#lookers.delete(look);
        resolve();
      };
      const look = (): void => void (test() && done());
      const timer = setTimeout(done, Math.max(0, deadlineMs - Date.now()));
      this.#lookers.add(look);
      look();
    });
  }

  #story(tasks: readonly EndedTask[], leases: Story["leases"]): Story {
    return { sends: this.#sends, heard: this.#heard, processes: this.#processes, tasks, leases };
  }

  async #readTasks(): Promise<Pick<Story, "tasks" | "leases">> {
    if (this.#tasks.length === 0) return { tasks: [], leases: [] };
    const rows = await this.#read<StoredTask>("agent_tasks", "select=task_id,status,lease_until,lease_agent");
    const byId = new Map(rows.map((row) => [row.task_id, row]));
    return {
      tasks: this.#tasks.map(({ taskId, isAcknowledged }) => ({
        taskId,
        isAcknowledged,
        status: byId.get(taskId)?.status,
      })),
      leases: rows
        .filter(({ lease_until }) => lease_until !== null)
        .map(({ task_id, lease_agent }) => ({ taskId: task_id, agent: lease_agent ?? "" })),
    };
  }

  async #read<Row>(table: string, query: string): Promise<readonly Row[]> {
    const { url, serviceRoleKey: key } = this.#server;
    const read = async (): Promise<readonly Row[]> => {
      const answer = await fetch(`${url}/rest/v1/${table}?tenant_id=eq.${this.#tenant}&${query}`, {
        headers: { apikey: key, authorization: `Bearer ${key}` },
      });
      return (await answer.json()) as readonly Row[]; // the columns asked for
    };
    // A connection that was kept from before the server was killed may fail when it is used again.
    return await read().catch(read);
  }
}

interface StoredTask {
  readonly task_id: string;
  readonly status: string;
  readonly lease_until: string | null;
  readonly lease_agent: string | null;
}

/** Undefined is final too: what was not acknowledged may never have arrived. */
function isFinal(status: string | undefined): boolean {
  return status === undefined || ["completed", "failed", "cancelled", "dead"].includes(status);
}
