import { setMaxListeners } from "node:events";
import type { RealtimeFederationHub } from "agent-federation";
import type { Row } from "./cases.ts";
import { rpc } from "./messages.ts";
import { openHub, perSecond, rowOf, type Place } from "./place.ts";

/** The same through `hub.work`: so many hubs, each with one pair of hands or a few. */
export async function measureWork(place: Place, beside: string): Promise<Row[]> {
  const assigner = await openHub(place, "work-assigner");
  const rows: Row[] = [];
  for (const workers of [1, 10, 100]) {
    // A hub has up to ten tasks at once: a hundred workers are ten processes in practice.
    const hubs = Math.ceil(workers / 10);
    rows.push(await workOff(place, assigner, { workers, hubs, beside }));
  }
  if (beside === "") rows.push(await measureStart(place, assigner));
  return rows;
}

async function workOff(
  place: Place,
  assigner: RealtimeFederationHub,
  { workers, hubs, beside }: { readonly workers: number; readonly hubs: number; readonly beside: string },
): Promise<Row> {
  const capability = `work-${workers}`;
  const tasks = Math.max(workers, Math.round((workers === 1 ? 300 : 2_000) * place.scale));
  let done = 0;
  let finish = (): void => {};
  const allDone = new Promise<void>((resolve) => (finish = resolve));
  const stopping = new AbortController();
  setMaxListeners(0, stopping.signal);
  assigner.on("task:completed", () => void (++done === tasks && finish()), { signal: stopping.signal });
  const those = Array.from({ length: tasks }, (_, n) => ({
    task_id: `${capability}-${n}`,
    capability,
    description: "bench",
  }));
  for (let first = 0; first < tasks; first += 200)
    await assigner.assignTasks(those.slice(first, first + 200));
  await rpc(place.supabase, "bench_analyze", {});
  const helpers = await Promise.all(
    Array.from({ length: hubs }, (_, n) => openHub(place, `work-${workers}-${n}`)),
  );
  const startMs = performance.now();
  const working = helpers.map((hub) =>
    hub.work(() => ({}), {
      concurrency: workers / hubs,
      capabilities: [capability],
      signal: stopping.signal,
    }),
  );
  const late = new Promise<void>((resolve) => setTimeout(resolve, 10_000).unref());
  await Promise.race([allDone, late]);
  const ms = performance.now() - startMs;
  const count = done;
  stopping.abort();
  await Promise.all(working);
  const name = `hub.work, claim to complete, ${workers} worker${workers === 1 ? "" : "s"}${beside}`;
  const note = `${hubs} hub${hubs === 1 ? "" : "s"}`;
  return { name, count, perSecond: perSecond(count, ms), note };
}

/** From the call that assigns a task to an agent until its handler begins. */
async function measureStart(place: Place, assigner: RealtimeFederationHub): Promise<Row> {
  const worker = await openHub(place, "work-starter");
  const stopping = new AbortController();
  let started = (_taskId: string): void => {};
  const working = worker.work((task) => started(task.task_id), { concurrency: 4, signal: stopping.signal });
  const samplesMs: number[] = [];
  for (let i = 0; i < Math.max(20, 200 * place.scale); i++) {
    const isStarted = new Promise<void>((resolve) => (started = () => resolve()));
    const begunMs = performance.now();
    await assigner.assignTask({
      task_id: `work-start-${i}`,
      assigned_to: "work-starter",
      description: "bench",
    });
    await isStarted;
    if (i >= 10) samplesMs.push(performance.now() - begunMs);
  }
  stopping.abort();
  await working;
  return rowOf("hub.work: task assigned to handler started", samplesMs, { note: "the aim is p50 15 ms" });
}
