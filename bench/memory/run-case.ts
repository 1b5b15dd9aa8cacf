/** One case: fills an engine, searches it, closes it, opens it again in a second process; answers with what was measured. */
import { randomBytes } from "node:crypto";
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { askOwnProcess, ownQuestion } from "../harness/own-process.ts";
import { roundMs } from "../harness/statistics.ts";
import { hasFilter, type MemoryCase } from "./cases.ts";
import { owners } from "./data.ts";
import { Dataset } from "./dataset.ts";
import type { BenchRow, Engine, Graphs, OpenEngine, Place } from "./engines/engine.ts";

export interface CaseQuestion {
  readonly memoryCase: MemoryCase;
  /** Where the vectors are. */
  readonly data: string;
  readonly peers: string;
  readonly databaseUrl?: string | undefined;
  /** Only open what is there, and search once. */
  readonly reopen?: string | undefined;
}

export interface Searched {
  readonly samplesMs: readonly number[];
  /** The share of the true nearest ten that was found. */
  readonly recall: number;
}

export interface CaseMeasured {
  readonly insertedPerSecond: number;
  /** Of single rows that are waited for, one after the other. */
  readonly singleMs?: readonly number[];
  /** Ours only: the same when every acknowledgement survives a power cut, what a write and flush of as many bytes takes, and batches. */
  readonly power?: {
    readonly singleMs: readonly number[];
    readonly flushMs: readonly number[];
    readonly insertedPerSecond: number;
  };
  /** Until everything is built that is built in the background, too. */
  readonly finishedMs: number;
  /** Ours only: by what searches without a filter were proposed their candidates. */
  readonly graphs?: Graphs;
  readonly search: Searched;
  readonly hundredth?: Searched;
  readonly tenth?: Searched;
  /** From a new process' first call until a search was answered. */
  readonly reopenMs: number;
  readonly memoryMb: number;
  readonly diskMb: number;
  /** Ours only: how long the event loop was held at most, while rows came in one after the other and while searching. */
  readonly loopHeldMs?: { readonly inserting: number; readonly searching: number };
}

const question = ownQuestion<CaseQuestion>();
const { engine: engineName, dimensions, rows } = question.memoryCase;
const dataset = Dataset.open(question.data, { dimensions, rows });
const { open } = (await import(`./engines/${engineName}.ts`)) as { open: OpenEngine }; // each file there has one
const isOurs = engineName === "federation";
const delay = monitorEventLoopDelay({ resolution: 1 });

const answer = question.reopen === undefined ? await measure() : await reopen(question.reopen);
await new Promise<void>((resolve) => process.send?.(answer, () => resolve()));
process.exit(0); // engines may leave threads behind

async function reopen(folder: string): Promise<number> {
  const begun = performance.now();
  const engine = await openAt({ folder, isNew: false });
  const [query = new Float32Array(dimensions)] = dataset.queries;
  await engine.search(query, 10);
  return roundMs(performance.now() - begun);
}

async function measure(): Promise<CaseMeasured> {
  const root = mkdtempSync(join(tmpdir(), "memory-bench-"));
  process.once("disconnect", () => {
    rmSync(root, { recursive: true, force: true });
    process.exit(1); // whoever asked has gone
  });
  try {
    if (isOurs) for (let store = 0; store < 2; store++) await warmUp(root);
    const folder = join(root, "main");
    mkdirSync(folder);
    const before = memoryMb();
    let engine = await openAt({ folder, isNew: true });
    const filled = await fill(engine);
    const begun = performance.now();
    await engine.finish?.();
    if (isOurs) {
      // What is built in the background is built: measured is the state that lasts.
      await engine.close();
      engine = await openAt({ folder, isNew: false });
    }
    const graphs = await engine.built?.();
    const finishedMs = roundMs(performance.now() - begun);
    delay.reset();
    delay.enable();
    const search = await searchAll(engine);
    delay.disable();
    const filtered = hasFilter(engineName)
      ? { hundredth: await searchAll(engine, "hundredth"), tenth: await searchAll(engine, "tenth") }
      : {};
    const loopHeldMs = { inserting: filled.heldMs, searching: roundMs(delay.max / 1e6) };
    const memory = memoryMb() - before;
    await engine.close();
    const reopened = { ...question, reopen: folder };
    const reopenMs = (await askOwnProcess(new URL(import.meta.url), reopened)) as number; // reopen() says so
    return {
      insertedPerSecond: filled.perSecond,
      finishedMs,
      ...(graphs === undefined
        ? {}
        : { graphs: { segments: graphs.segments, rowsInTail: graphs.rowsInTail } }),
      search,
      ...filtered,
      reopenMs,
      memoryMb: Math.round(memory),
      diskMb: Math.round(sizeOf(folder) / 1e6),
      ...(isOurs ? { ...(await acknowledged(root)), loopHeldMs } : {}),
    };
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

function openAt(place: Pick<Place, "folder" | "isNew" | "durability">): Promise<Engine> {
  const { peers, databaseUrl } = question;
  return open({ dimensions, peers, databaseUrl, ...place });
}

/**
 * The same calls on another store, which is thrown away: what a process does for the first time it compiles first, and again for the second store
 * it opens, whose objects V8 lays out otherwise; a case of few rows would measure little else.
 */
async function warmUp(root: string): Promise<void> {
  const folder = mkdtempSync(join(root, "warm-up-"));
  const engine = await openAt({ folder, isNew: true });
  const [batch = []] = dataset.batches(1_000);
  const rename = (round: string): BenchRow[] => batch.map((row) => ({ ...row, id: `${round} ${row.id}` }));
  for (let round = 0; round < 10; round++) await engine.insert(rename(`batch ${round}`));
  for (let round = 0; round < 2; round++)
    for (const row of rename(`single ${round}`)) await engine.insert([row]);
  for (const query of dataset.queries) await engine.search(query, 10);
  await engine.close();
  rmSync(folder, { recursive: true });
}

/** Batches of 1,000, the next when the last is acknowledged; making the rows is not measured. */
async function fill(engine: Engine): Promise<{ perSecond: number; heldMs: number }> {
  let [took, done] = [0, 0];
  delay.enable();
  for (const batch of dataset.batches(1_000)) {
    const begun = performance.now();
    await engine.insert(batch);
    took += performance.now() - begun;
    done += batch.length;
    if (done % 100_000 === 0)
      console.error(`  ${done.toLocaleString("en-US")} rows in ${Math.round(took / 1_000)} s`);
  }
  delay.disable();
  return { perSecond: Math.round((done * 1_000) / took), heldMs: roundMs(delay.max / 1e6) };
}

async function searchAll(engine: Engine, among?: "hundredth" | "tenth"): Promise<Searched> {
  const owner = among === undefined ? undefined : owners[among];
  const truth = dataset.truth[among ?? "all"];
  const samplesMs: number[] = [];
  let [hits, all] = [0, 0];
  for (const query of dataset.queries.slice(0, 50)) await engine.search(query, 10, owner);
  const began = performance.now();
  for (const [at, query] of dataset.queries.entries()) {
    if (performance.now() - began > 30_000) break;
    const begun = performance.now();
    const ids = await engine.search(query, 10, owner);
    samplesMs.push(roundMs(performance.now() - begun));
    const right = truth[at] ?? [];
    hits += right.filter((id) => ids.includes(id)).length;
    all += right.length;
  }
  return { samplesMs, recall: Math.round((hits / all) * 10_000) / 10_000 };
}

/** Rows one at a time, into stores of their own. */
async function acknowledged(root: string): Promise<Pick<CaseMeasured, "singleMs" | "power">> {
  const some = [...take(dataset.batches(1_000), 20)];
  const single = async (engine: Engine, count: number): Promise<number[]> => {
    const samplesMs: number[] = [];
    for (const row of some.flat().slice(0, count)) {
      const begun = performance.now();
      await engine.insert([row]);
      samplesMs.push(roundMs(performance.now() - begun));
    }
    return samplesMs;
  };
  const within = async <T>(
    durability: "process" | "power",
    run: (engine: Engine) => Promise<T>,
  ): Promise<T> => {
    const folder = mkdtempSync(join(root, durability));
    const engine = await openAt({ folder, isNew: true, durability });
    try {
      await engine.insert([{ ...firstOf(some), id: "warm-up" }]);
      return await run(engine);
    } finally {
      await engine.close();
    }
  };
  const singleMs = await within("process", (engine) => single(engine, 5_000));
  const power = await within("power", async (engine) => {
    const flushMs = flushes(root, 300);
    const samplesMs = await single(engine, 300);
    return { singleMs: samplesMs, flushMs: [...flushMs, ...flushes(root, 300)] };
  });
  const insertedPerSecond = await within("power", async (engine) => {
    const begun = performance.now();
    for (const batch of some) await engine.insert(batch);
    return Math.round((some.flat().length * 1_000) / (performance.now() - begun));
  });
  return { singleMs, power: { ...power, insertedPerSecond } };
}

/** What a write of a row's bytes, and a flush of them, take on this disk. */
function flushes(root: string, count: number): number[] {
  const file = openSync(join(root, "flushes"), "a");
  const bytes = randomBytes(dimensions * 4 + 500);
  try {
    return Array.from({ length: count }, () => {
      const begun = performance.now();
      writeSync(file, bytes);
      fdatasyncSync(file);
      return roundMs(performance.now() - begun);
    });
  } finally {
    closeSync(file);
  }
}

function* take<T>(values: Iterable<T>, count: number): Generator<T> {
  for (const value of values) {
    if (count-- <= 0) return;
    yield value;
  }
}

function firstOf(batches: readonly BenchRow[][]): BenchRow {
  const [[row] = []] = batches;
  if (row === undefined) throw new TypeError("no rows");
  return row;
}

/** What this process has to itself on Linux; elsewhere with the files it maps. */
function memoryMb(): number {
  global.gc?.();
  try {
    const [, kilobytes] = /RssAnon:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8")) ?? [];
    if (kilobytes !== undefined) return Number(kilobytes) / 1_000;
  } catch {
    // not Linux
  }
  return process.memoryUsage().rss / 1e6;
}

function sizeOf(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true }).reduce(
    (sum, entry) => sum + (entry.isFile() ? statSync(join(entry.parentPath, entry.name)).size : 0),
    0,
  );
}
