/** Is anything lost when the local stack is killed in the middle of traffic? `npm run proof:restart -- --help` */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { surviveRestarts } from "../test-support/soak/restarts.ts";
import { startRestartable } from "./harness/restartable.ts";

const usage = `
npm run proof:restart [-- --restarts 10 --sends 60]

Three agents send messages, broadcasts and tasks while the local stack is killed (-9) and started again on its data folder.
Afterwards everything acknowledged must have been handled, once and in order, and every task completed. Exits with 1 and
says what was not.`;

const { values } = parseArgs({
  options: {
    restarts: { type: "string", default: "10" },
    sends: { type: "string", default: "60" },
    help: { type: "boolean", short: "h", default: false },
  },
});
if (values.help) console.log(usage.trim());
else await main();

async function main(): Promise<void> {
  const [restarts, sendsEach] = [Number(values.restarts), Number(values.sends)];
  if (!(restarts >= 1 && restarts <= 1_000 && sendsEach >= 2 && sendsEach <= 1_000))
    throw new Error(`expected --restarts and --sends up to 1000, got ${values.restarts} and ${values.sends}`);
  const dataDir = await mkdtemp(join(tmpdir(), "agent-federation-restart-"));
  const server = await startRestartable(dataDir);
  const cleanUp = async (): Promise<void> => {
    await server.close();
    await rm(dataDir, { recursive: true, force: true });
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void cleanUp().then(() => process.exit(130)));
  try {
    const tell = (line: string): void => console.error(line);
    const survived = await surviveRestarts(server, { restarts, sendsEach, tasks: true, tell });
    const { violations, sent, acknowledged } = survived;
    console.log(
      `${acknowledged} of ${sent} messages acknowledged, ${survived.tasks} tasks, ${restarts} kills`,
    );
    for (const line of violations) console.log(line);
    console.log(
      violations.length === 0
        ? "nothing was lost, repeated or disordered"
        : `${violations.length} violations`,
    );
    if (violations.length > 0) process.exitCode = 1;
  } finally {
    await cleanUp();
  }
}
