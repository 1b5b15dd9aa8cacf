/** Is anything that was acknowledged ever lost, however the network and the server fail? `npm run soak -- --help` */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { failureOf, soak } from "../test-support/soak/soak.ts";
import { provenance } from "./harness/machine.ts";
import { startRestartable } from "./harness/restartable.ts";
import { writeResults } from "./harness/results.ts";

const usage = `
npm run soak [-- --minutes 10 --seed N --histories 1000 --lanes 1 --steps 30 --path P --no-tasks --no-restarts --out <folder>]

Lives through random histories of several agents: messages, durable broadcasts and tasks, while their connections are cut, refused,
held, swallowed, left half open or delayed, agents end or crash and begin again, and the server is killed (-9) and started on its data
folder. After each, everything acknowledged must have been handled, nothing twice by a process that lived to say so, in order
per sender; every task ended once, and no lease is left. Ends after --minutes or --histories, whichever comes first.
--lanes: histories at the same time, each lane with a server of its own and the seed of the lane before it + 1.
Exits with 1 at the first history that fails, and prints the seed and path that play it again; played again, it is shrunk.
--out writes soak.json and soak.md there.`;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    histories: { type: "string", default: "1000000" },
    lanes: { type: "string", default: "1" },
    steps: { type: "string", default: "30" },
    seed: { type: "string" },
    path: { type: "string" },
    "no-tasks": { type: "boolean", default: false },
    "no-restarts": { type: "boolean", default: false },
    out: { type: "string" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed);
  const [minutes, lanes] = [Number(values.minutes), Number(values.lanes)];
  if (!(minutes > 0) || !Number.isInteger(seed) || !(lanes >= 1 && lanes <= 16))
    throw new Error(
      `expected --minutes above 0, a whole --seed and 1 to 16 --lanes, got ${values.minutes}, ${values.seed} and ${values.lanes}`,
    );
  if (values.path !== undefined && lanes > 1)
    throw new Error("--path plays one history again: leave --lanes out");
  const startedMs = Date.now();
  const opened = await Promise.all(Array.from({ length: lanes }, () => openLane()));
  const stop = async (): Promise<void> => void (await Promise.all(opened.map((lane) => lane.close())));
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void stop().then(() => process.exit(130)));
  console.error(`seed ${seed}`);
  let histories = 0;
  const restarts = (): number => opened.reduce((sum, { server }) => sum + server.restarts, 0);
  const runs = Math.ceil(Number(values.histories) / lanes);
  try {
    // The first lane that fails ends all of them.
    const failure = await firstFailure(
      opened.map(async ({ server }, lane) => {
        const details = await soak(server, {
          seed: seed + lane,
          runs,
          timeLimitMs: minutes * 60_000,
          maxSteps: Number(values.steps),
          tasks: !values["no-tasks"],
          serverRestarts: !values["no-restarts"],
          ...(values.path === undefined ? {} : { path: values.path }),
          onHistory: () => {
            if (++histories % 10 === 0)
              console.error(`${histories} histories, ${restarts()} restarts of a server`);
          },
        });
        return failureOf(details);
      }),
    );
    const took = (Date.now() - startedMs) / 60_000;
    const sum =
      `${histories} histories in ${took.toFixed(1)} minutes, ${lanes} at a time, seed ${seed}, ` +
      `${restarts()} restarts of a server: ${failure === undefined ? "nothing was lost, repeated or disordered" : "one failed"}.`;
    console.log(sum);
    if (values.out !== undefined) {
      const origin = { ...provenance(["@supabase/supabase-js", "@electric-sql/pglite"]) };
      const result = { histories, minutes: took, lanes, seed, restarts: restarts(), failure };
      await writeResults(values.out, "soak", { origin, results: [result], table: sum });
    }
    if (failure === undefined) return;
    console.log(failure);
    process.exitCode = 1;
  } finally {
    await stop();
  }
  process.exit(); // what other lanes were in the middle of when one failed is not waited for
}

async function openLane() {
  const dataDir = await mkdtemp(join(tmpdir(), "agent-federation-soak-"));
  const server = await startRestartable(dataDir);
  const close = async (): Promise<void> => {
    await server.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  return { server, close };
}

/** Resolves when one of them has failed, or all are through. */
async function firstFailure(lanes: readonly Promise<string | undefined>[]): Promise<string | undefined> {
  const failed = lanes.map(
    (lane) =>
      new Promise<string>((resolve, reject) => {
        lane.then((failure) => failure !== undefined && resolve(failure), reject);
      }),
  );
  return await Promise.race([...failed, Promise.all(lanes).then(() => undefined)]);
}
