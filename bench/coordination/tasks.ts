import pg from "pg";
import type { Row } from "./cases.ts";
import { rpc } from "./messages.ts";
import { perSecond, rowOf, tenant, type Place } from "./place.ts";
import { measureWork } from "./work.ts";

const workerCounts = [1, 10, 100];
const archiveAtOnce = 10_000;
const workMs = 4_000;

/** Tasks that agents claim and complete, for 1, 10 and 100 workers; `archived` of them ended long ago. */
export async function measureTasks(place: Place, archived: number): Promise<Row[]> {
  const beside = archived === 0 ? "" : `, ${archived.toLocaleString("en-US")} archived`;
  for (let first = 0; first < archived; first += archiveAtOnce)
    await rpc(place.supabase, "bench_archive_tasks", { tenant, first, many: archiveAtOnce });
  const rows: Row[] = [];
  for (const workers of workerCounts) {
    const tasks = Math.max(workers, Math.round((workers === 1 ? 200 : 600) * place.scale));
    const { samplesMs, ms } = await workOff(place, workers, tasks);
    rows.push(
      rowOf(`claim and complete, ${workers} worker${workers === 1 ? "" : "s"}${beside}`, samplesMs, {
        perSecond: perSecond(samplesMs.length, ms),
      }),
    );
  }
  rows.push(await measureClaims(place, beside));
  if (place.databaseUrl !== undefined) rows.push(await measureInSql(place, place.databaseUrl, beside));
  rows.push(...(await measureWork(place, beside)));
  return rows;
}

let fillings = 0;

/** Tasks of a capability of their own, which it resolves to: what one measurement leaves over is nobody else's. */
async function fill(place: Place, tasks: number): Promise<string> {
  const capability = `filling-${fillings++}`;
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < tasks) {
      const task = { task_id: `${capability}-${next++}`, capability, description: "bench" };
      await rpc(place.supabase, "assign_task", { task, as_agent: "assigner", as_tenant: tenant });
    }
  };
  await Promise.all(Array.from({ length: 8 }, lane));
  await rpc(place.supabase, "bench_analyze", {});
  return capability;
}

/** As many workers as asked for, each claiming one task after the other, until none or no time is left. A sample is one task. */
async function workOff(
  place: Place,
  workers: number,
  tasks: number,
): Promise<{ samplesMs: number[]; ms: number }> {
  const capabilities = [await fill(place, tasks)];
  const samplesMs: number[] = [];
  const startMs = performance.now();
  const work = async (_: unknown, worker: number): Promise<void> => {
    const as = { as_agent: `worker-${worker}`, as_tenant: tenant };
    while (performance.now() - startMs < workMs) {
      const begunMs = performance.now();
      const claim = { max_tasks: 1, capabilities, ...as };
      const [task] = (await rpc(place.supabase, "claim_tasks", claim)) as Claimed[]; // rows as docs/schema.md says
      if (task === undefined) return;
      const { task_id, fence } = task;
      await rpc(place.supabase, "complete_task", { task_id, fence, result: {}, ...as });
      samplesMs.push(performance.now() - begunMs);
    }
  };
  await Promise.all(Array.from({ length: workers }, work));
  return { samplesMs, ms: performance.now() - startMs };
}

interface Claimed {
  readonly task_id: string;
  readonly fence: number;
}

/** Claims alone, twenty at a time, as a hub with free hands makes them. */
async function measureClaims(place: Place, beside: string): Promise<Row> {
  const tasks = Math.round(1_000 * place.scale);
  const capabilities = [await fill(place, tasks)];
  const samplesMs: number[] = [];
  let claimed = 0;
  const startMs = performance.now();
  const lane = async (_: unknown, worker: number): Promise<void> => {
    for (;;) {
      const begunMs = performance.now();
      const as = { as_agent: `claimer-${worker}`, as_tenant: tenant };
      const claim = { max_tasks: 20, capabilities, ...as };
      const answer = (await rpc(place.supabase, "claim_tasks", claim)) as Claimed[];
      if (answer.length === 0) return;
      claimed += answer.length;
      samplesMs.push(performance.now() - begunMs);
    }
  };
  await Promise.all(Array.from({ length: 4 }, lane));
  const rate = perSecond(claimed, performance.now() - startMs);
  return rowOf(`claims, 20 at a time, 4 agents${beside}`, samplesMs, { perSecond: rate, count: claimed });
}

/** The same two functions without REST: what the schema itself can do, and what peers that speak to Postgres compare with. */
async function measureInSql(place: Place, databaseUrl: string, beside: string): Promise<Row> {
  const tasks = Math.round(1_000 * place.scale);
  const capability = await fill(place, tasks);
  const pool = new pg.Pool({ connectionString: databaseUrl, max: 10 });
  const samplesMs: number[] = [];
  const startMs = performance.now();
  const claim = "select public.claim_tasks(1, array[$1], as_agent => $2, as_tenant => $3) as task";
  const complete = "select public.complete_task($1, '{}', $2::bigint, as_agent => $3, as_tenant => $4)";
  const lane = async (_: unknown, number: number): Promise<void> => {
    const agent = `sql-${number}`;
    while (performance.now() - startMs < workMs) {
      const begunMs = performance.now();
      const { rows } = await pool.query<{ task: Claimed }>(claim, [capability, agent, tenant]);
      const [row] = rows;
      if (row === undefined) return;
      await pool.query(complete, [row.task.task_id, row.task.fence, agent, tenant]);
      samplesMs.push(performance.now() - begunMs);
    }
  };
  try {
    await Promise.all(Array.from({ length: 10 }, lane));
  } finally {
    await pool.end();
  }
  const rate = perSecond(samplesMs.length, performance.now() - startMs);
  return rowOf(`claim and complete in plain SQL sessions, 10 of them${beside}`, samplesMs, {
    perSecond: rate,
  });
}
