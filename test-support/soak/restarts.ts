import { violations } from "./check.ts";
import { agentCount } from "./history.ts";
import { World, type Server } from "./world.ts";

export interface RestartOptions {
  readonly restarts: number;
  /** Calls between two kills: each third is a broadcast, each fourth a task where tasks are wanted. */
  readonly sendsEach: number;
  readonly tasks: boolean;
  readonly tell: (line: string) => void;
}

export interface Survived {
  readonly violations: readonly string[];
  readonly sent: number;
  readonly acknowledged: number;
  readonly tasks: number;
}

/** Kills the server again and again while agents speak and work; resolves when everything acknowledged was handled, or to what was not. */
export async function surviveRestarts(
  server: Server & { restart(): Promise<void> },
  { restarts, sendsEach, tasks, tell }: RestartOptions,
): Promise<Survived> {
  const world = await World.open(server, tasks, { requestTimeoutMs: 30_000 });
  let step = 0;
  const speak = async (): Promise<void> => {
    const from = step++ % agentCount;
    const to = (from + 1 + (step % (agentCount - 1))) % agentCount;
    if (tasks && step % 4 === 0)
      await world.take({ type: "assign", from, to: step % 8 === 0 ? to : undefined });
    else if (step % 3 === 0) await world.take({ type: "broadcast", from });
    else await world.take({ type: "send", from, to });
  };
  try {
    for (let restart = 1; restart <= restarts; restart++) {
      // Half of it is under way when the server dies, the other half is said to nobody.
      for (let i = 0; i < sendsEach / 2; i++) {
        await speak();
        if (i % 3 === 0) await world.take({ type: "breathe" });
      }
      const restarting = server.restart();
      for (let i = 0; i < sendsEach / 2; i++) await speak();
      await restarting;
      tell(`killed and restarted ${restart} of ${restarts} times`);
    }
    const story = await world.end();
    return {
      violations: violations(story),
      sent: story.sends.length,
      acknowledged: story.sends.filter(({ isAcknowledged }) => isAcknowledged).length,
      tasks: story.tasks.filter(({ isAcknowledged }) => isAcknowledged).length,
    };
  } finally {
    await world.close();
  }
}
