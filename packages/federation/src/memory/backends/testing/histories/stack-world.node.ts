import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mintAgentToken } from "../../../../tokens/mint-agent-token.ts";
import { startTcpProxy } from "../../../../testing/tcp-proxy.node.ts";
import { idOf, machines } from "../../../sync/testing/simulation.ts";
import { freshTenant, serviceClient, startStack, type TestStack } from "../../../testing/start-stack.node.ts";
import type { StackStep } from "./any-stack-history.ts";
import { differences, lostWrites, untold } from "./look.ts";
import { Machine } from "./machine.node.ts";
import type { MachineOrders, ShownRow } from "./machine-lines.ts";

export interface StackOutcome {
  /** Empty, if all is right. */
  readonly wrong: readonly string[];
  readonly acknowledged: number;
}

const quietRounds = 30;

/** A local Supabase and three machines with hybrid adapters in processes of their own, for one history after the other. */
export class StackWorld {
  readonly #folder: string;
  readonly #machines: readonly Machine[];
  #stack: TestStack;
  #tenant = "";
  #tokens = new Map<string, string>();
  #folders = 0;
  #writes = 0;

  static async start(): Promise<StackWorld> {
    const folder = await mkdtemp(join(tmpdir(), "federation-histories-"));
    const stack = await startStack({ dataDir: join(folder, "stack") });
    const lines = await Promise.all(machines.map(() => startTcpProxy(stack.url)));
    const all = machines.map(([name, agent], index) => new Machine(name, agent, lines[index]!)); // as many
    return new StackWorld(folder, stack, all);
  }

  private constructor(folder: string, stack: TestStack, all: readonly Machine[]) {
    this.#folder = folder;
    this.#stack = stack;
    this.#machines = all;
  }

  /** Lives through a history of a tenant of its own, then gives everybody a quiet time, then looks. */
  async live(history: readonly StackStep[]): Promise<StackOutcome> {
    await this.#begin();
    const underWay: Promise<unknown>[] = [];
    for (const step of history) {
      const done = this.#happen(step);
      done.catch(() => undefined); // looked at below
      underWay.push(done);
      if (this.#isWaitedFor(step)) await done;
    }
    for (const machine of this.#machines) {
      if (machine.isDoomed) machine.kill();
      machine.setLine("back");
    }
    await Promise.all(underWay);
    return await this.#quiet();
  }

  async close(): Promise<void> {
    await Promise.all(this.#machines.map((machine) => machine.close()));
    await this.#stack.close();
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Everybody is there and has read that there is nothing: from now on all is news. */
  async #begin(): Promise<void> {
    this.#tenant = freshTenant();
    for (const { agent } of this.#machines) {
      const { jwtSecret: secret } = this.#stack;
      const token = await mintAgentToken({
        secret,
        tenantId: this.#tenant,
        agentId: agent,
        ttlSeconds: 86_400,
      });
      this.#tokens.set(agent, token);
    }
    await Promise.all(
      this.#machines.map(async (machine) => {
        machine.setLine("back");
        await machine.begin(this.#ordersFor(machine));
        for (let tries = 0; ; tries++) {
          const answer = await machine.ask({ does: "sync" });
          if (answer !== undefined && "did" in answer) break;
          if (tries === quietRounds) throw new Error(`${machine.name} cannot begin: ${answer?.why}`);
        }
        machine.hasListened = true;
      }),
    );
  }

  /** Each in a folder of its own, under a name of its own, as on machines of their own. */
  #ordersFor({ agent, line }: Machine): MachineOrders {
    const dataDir = join(this.#folder, `machine-${++this.#folders}`);
    const accessToken = this.#tokens.get(agent) ?? "";
    return { url: line.url, anonKey: this.#stack.anonKey, accessToken, agent, tenant: this.#tenant, dataDir };
  }

  async #happen(step: StackStep): Promise<void> {
    switch (step.does) {
      case "write": {
        const machine = this.#machine(step.who);
        return await machine.write(idOf(step.key, machine.agent), step.kind, `text ${++this.#writes}`);
      }
      case "sync":
      case "retry dead letters":
        await this.#machine(step.who).ask({ does: step.does }); // what it fails with is not the point here
        return;
      case "line":
        return this.#machine(step.who).setLine(step.state);
      case "crash":
        return this.#machine(step.who).killAfter(step.lines);
      case "reopen":
        return await this.#machine(step.who).reopen();
      case "new machine": {
        const machine = this.#machine(step.who);
        machine.kill();
        return await machine.begin(this.#ordersFor(machine));
      }
      case "restart server":
        return await this.#restartServer();
      case "new epoch": {
        const { error } = await serviceClient(this.#stack).rpc("new_epoch");
        if (error !== null) throw new Error(`new_epoch: ${error.message}`);
      }
    }
  }

  /** Writes go on beside all else; what waits for an answer of a silent server would wait for long. */
  #isWaitedFor(step: StackStep): boolean {
    if (step.does === "sync" || step.does === "retry dead letters" || step.does === "reopen")
      return this.#machine(step.who).lineState !== "silent";
    return step.does !== "write";
  }

  async #restartServer(): Promise<void> {
    const { url, jwtSecret } = this.#stack;
    await this.#stack.close();
    const port = Number(new URL(url).port);
    this.#stack = await startStack({ dataDir: join(this.#folder, "stack"), jwtSecret, port });
  }

  async #quiet(): Promise<StackOutcome> {
    let wrong: string[] = [];
    for (let round = 0; round < quietRounds; round++) {
      for (const machine of this.#machines) await machine.ask({ does: "sync" });
      const onServer = await this.#rowsOnServer();
      const shown = await Promise.all(this.#machines.map((machine) => machine.show()));
      wrong = this.#machines.flatMap((machine, at) => {
        const held = shown[at];
        if (held === undefined) return [`${machine.name} cannot show what it holds`];
        const apart = differences(machine, held, onServer);
        return [...apart, ...lostWrites(machine, held, onServer), ...untold(machine, onServer)];
      });
      if (round > 0 && wrong.length === 0) break;
    }
    const acknowledged = this.#machines.reduce((sum, machine) => sum + machine.acknowledged.length, 0);
    return { wrong, acknowledged };
  }

  /** As the official client reads it. */
  async #rowsOnServer(): Promise<ShownRow[]> {
    const columns = "id,agent_id,version,scope,content,deleted_at,hlc_ms,hlc_counter,hlc_writer";
    const { data, error } = await serviceClient(this.#stack)
      .from("agent_memories")
      .select(columns)
      .eq("tenant_id", this.#tenant)
      .overrideTypes<ServerFacts[], { merge: false }>();
    if (error !== null) throw new Error(`read the rows of a history: ${error.message}`);
    return data.map(({ id, agent_id, version, scope, content, deleted_at, ...clock }) => ({
      id,
      agent_id,
      version,
      scope,
      content: content ?? "",
      isDeleted: deleted_at !== null,
      hlc: { ms: clock.hlc_ms, counter: clock.hlc_counter, writer: clock.hlc_writer },
    }));
  }

  #machine(who: number): Machine {
    return this.#machines[who % this.#machines.length]!; // there are three
  }
}

interface ServerFacts {
  readonly id: string;
  readonly agent_id: string;
  readonly version: number;
  readonly scope: string;
  readonly content: string | null;
  readonly deleted_at: string | null;
  readonly hlc_ms: number;
  readonly hlc_counter: number;
  readonly hlc_writer: string;
}
