import { EventEmitter } from "node:events";
import { Logger, makeWorkerUtils, run, type Runner, type WorkerUtils } from "graphile-worker";
import pg from "pg";
import PgBoss from "pg-boss";
import type { Row } from "./cases.ts";
import { perSecond, rowOf, type Place } from "./place.ts";

/** The same jobs through pg-boss and graphile-worker, on the same native Postgres, as their documentation uses them. */
export async function measurePeers(place: Place): Promise<Row[]> {
  const { databaseUrl } = place;
  if (databaseUrl === undefined) throw new Error("peers need a native Postgres");
  return [
    ...(await measurePgBoss(databaseUrl, place.scale)),
    ...(await measureGraphile(databaseUrl, place.scale)),
  ];
}

/** Its workers poll every half second at best, so jobs are fetched and completed through its own calls, without waiting. */
async function measurePgBoss(databaseUrl: string, scale: number): Promise<Row[]> {
  const boss = new PgBoss({ connectionString: databaseUrl, supervise: false, schedule: false, max: 10 });
  boss.on("error", (error: Error) => console.error(`pg-boss: ${error.message}`));
  await boss.start();
  const rows: Row[] = [];
  try {
    for (const workers of [1, 10, 100]) {
      const queue = `jobs-${workers}`;
      await boss.createQueue(queue);
      const jobs = Math.max(workers, Math.round((workers === 1 ? 300 : 2_000) * scale));
      await boss.insert(Array.from({ length: jobs }, (_, n) => ({ name: queue, data: { n } })));
      await analyze(databaseUrl);
      const samplesMs: number[] = [];
      const startMs = performance.now();
      const work = async (): Promise<void> => {
        for (;;) {
          const begunMs = performance.now();
          const [job] = await boss.fetch(queue);
          if (job === undefined) return;
          await boss.complete(queue, job.id, {});
          samplesMs.push(performance.now() - begunMs);
        }
      };
      await Promise.all(Array.from({ length: workers }, work));
      rows.push(
        rowOf(`pg-boss: fetch and complete, ${workers} worker${workers === 1 ? "" : "s"}`, samplesMs, {
          perSecond: perSecond(samplesMs.length, performance.now() - startMs),
        }),
      );
    }
  } finally {
    await boss.stop({ graceful: false });
  }
  return rows;
}

async function measureGraphile(databaseUrl: string, scale: number): Promise<Row[]> {
  const utils = await makeWorkerUtils({ connectionString: databaseUrl, logger: silent });
  const rows: Row[] = [];
  try {
    await utils.migrate();
    for (const concurrency of [1, 10, 100]) {
      const jobs = Math.max(concurrency, Math.round((concurrency === 1 ? 300 : 2_000) * scale));
      await utils.addJobs(Array.from({ length: jobs }, (_, n) => ({ identifier: "job", payload: { n } })));
      await analyze(databaseUrl);
      let [begun, completed] = [0, 0];
      const events = new EventEmitter();
      const allDone = new Promise<void>((resolve) =>
        events.on("job:complete", () => void (++completed === jobs && resolve())),
      );
      const startMs = performance.now();
      const runner = await start(databaseUrl, concurrency, async () => void begun++, events);
      await allDone;
      const ms = performance.now() - startMs;
      await runner.stop();
      const name = `graphile-worker: run, concurrency ${concurrency}`;
      rows.push({ name, count: begun, perSecond: perSecond(jobs, ms) });
    }
    rows.push(await measureStart(databaseUrl, utils, scale));
  } finally {
    await utils.release();
  }
  return rows;
}

/** What a server does by itself within a minute. */
async function analyze(connectionString: string): Promise<void> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  await client.query("analyze");
  await client.end();
}

async function measureStart(databaseUrl: string, utils: WorkerUtils, scale: number): Promise<Row> {
  let started = (): void => {};
  const runner = await start(databaseUrl, 10, async () => started());
  const samplesMs: number[] = [];
  try {
    for (let i = 0; i < Math.max(20, 200 * scale); i++) {
      const isStarted = new Promise<void>((resolve) => (started = resolve));
      const begunMs = performance.now();
      await utils.addJob("job", { i });
      await isStarted;
      if (i >= 10) samplesMs.push(performance.now() - begunMs);
    }
  } finally {
    await runner.stop();
  }
  return rowOf("graphile-worker: job added to its task started", samplesMs);
}

function start(
  connectionString: string,
  concurrency: number,
  job: () => Promise<void>,
  events: EventEmitter = new EventEmitter(),
): Promise<Runner> {
  const taskList = { job };
  const options = { connectionString, concurrency, maxPoolSize: 10, noHandleSignals: true, logger: silent };
  return run({ ...options, taskList, events });
}

const silent = new Logger(() => () => undefined);
