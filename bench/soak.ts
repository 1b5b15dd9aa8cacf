/** Is anything that was acknowledged ever lost, however the network and the server fail? `npm run soak -- --help` */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { failureOf, soak } from "../test-support/soak/soak.ts";
import { startRestartable } from "./harness/restartable.ts";

const usage = `
npm run soak [-- --minutes 10 --seed N --histories 1000 --steps 30 --path P --no-tasks --no-restarts]

Lives through random histories of several agents: messages, durable broadcasts and tasks, while their connections are cut, refused,
held, swallowed, left half open or delayed, agents end or crash and begin again, and the server is killed (-9) and started on its data
folder. After each, everything acknowledged must have been handled, nothing twice by a process that lived to say so, in order
per sender; every task ended once, and no lease is left. Ends after --minutes or --histories, whichever comes first.
Exits with 1 at the first history that fails, having shrunk it, and prints the seed and path that play it again.`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    histories: { type: "string", default: "1000000" },
    steps: { type: "string", default: "30" },
    seed: { type: "string" },
    path: { type: "string" },
    "no-tasks": { type: "boolean", default: false },
    "no-restarts": { type: "boolean", default: false },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const minutes = Number(values.minutes);
  if (!(minutes > 0) || !Number.isInteger(seed))
    throw new Error(
      `expected --minutes above 0 and a whole --seed, got ${values.minutes} and ${values.seed}`,
    );
  const dataDir = await mkdtemp(join(tmpdir(), "agent-federation-soak-"));
  const server = await startRestartable(dataDir);
  const cleanUp = async (): Promise<void> => {
    await server.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void cleanUp().then(() => process.exit(130)));
  console.error(`seed ${seed}`);
  const startedMs = Date.now();
  let histories = 0;
  try {
    const details = await soak(server, {
      seed,
      runs: Number(values.histories),
      timeLimitMs: minutes * 60_000,
      maxSteps: Number(values.steps),
      tasks: !values["no-tasks"],
      serverRestarts: !values["no-restarts"],
      ...(values.path === undefined ? {} : { path: values.path }),
      onHistory: (count) => {
        histories = count;
        if (count % 10 === 0) console.error(`${count} histories, ${server.restarts} restarts of the server`);
      },
    });
    const failure = failureOf(details);
    const took = ((Date.now() - startedMs) / 60_000).toFixed(1);
    console.log(
      `${histories} histories in ${took} minutes, seed ${seed}, ${server.restarts} restarts of the server`,
    );
    if (failure !== undefined) {
      console.log(failure);
      process.exitCode = 1;
    }
  } finally {
    await cleanUp();
  }
}
