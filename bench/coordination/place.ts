import { createRealtimeHub, type HubOptions, type RealtimeFederationHub } from "agent-federation";
import type { SupabaseProcess } from "../harness/supabase.ts";
import { roundMs, summarize } from "../harness/statistics.ts";
import type { Row } from "./cases.ts";

/** Where a group of cases runs: a server, a tenant, and the hubs in it. */
export interface Place {
  readonly supabase: SupabaseProcess;
  /** Of the native database; undefined for the embedded one, which nobody else can speak to. */
  readonly databaseUrl: string | undefined;
  readonly scale: number;
  readonly hubs: RealtimeFederationHub[];
}

export const tenant = "bench";

export async function openHub(
  { supabase: { url, anonKey, jwtSecret }, hubs }: Place,
  agent: string,
  options: HubOptions = {},
  tenantId: string = tenant,
): Promise<RealtimeFederationHub> {
  const patience = { initializeTimeoutMs: 120_000, requestTimeoutMs: 60_000, memorySync: false };
  const hub = createRealtimeHub(agent, tenantId, { url, anonKey, jwtSecret, ...patience, ...options });
  hub.on("error", ({ error, during }) => console.error(`${agent}: ${during}: ${error.message}`));
  hubs.push(hub);
  await hub.initialize();
  return hub;
}

const maxSamples = 1_000;

/** A line of the table, with at most a thousand of its samples, evenly spread. */
export function rowOf(name: string, samplesMs: readonly number[], rest: Partial<Row> = {}): Row {
  const step = Math.max(1, Math.ceil(samplesMs.length / maxSamples));
  const rounded = samplesMs.map(roundMs);
  return {
    name,
    count: rounded.length,
    summary: summarize(rounded),
    samplesMs: rounded.filter((_, index) => index % step === 0),
    ...rest,
  };
}

/** Calls `send` so many times a second, whether or not the last one has ended; resolves when all have. */
export async function paced(
  perSecond: number,
  durationMs: number,
  send: (index: number) => Promise<unknown>,
): Promise<void> {
  const startMs = performance.now();
  const sending: Promise<unknown>[] = [];
  const count = Math.round((durationMs / 1000) * perSecond);
  for (let index = 0; index < count; index++) {
    const dueMs = startMs + (index * 1000) / perSecond;
    const waitMs = dueMs - performance.now();
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs));
    sending.push(send(index));
  }
  await Promise.all(sending);
}

/** Calls `run` in so many lanes until the time is over; resolves to how many ended, and how long it took. */
export async function flooded(
  lanes: number,
  durationMs: number,
  run: (index: number, lane: number) => Promise<unknown>,
): Promise<{ count: number; ms: number }> {
  const startMs = performance.now();
  let index = 0;
  const lane = async (number: number): Promise<void> => {
    while (performance.now() - startMs < durationMs) await run(index++, number);
  };
  await Promise.all(Array.from({ length: lanes }, (_, number) => lane(number)));
  return { count: index, ms: performance.now() - startMs };
}

export function perSecond(count: number, ms: number): number {
  return Math.round((count * 1000) / ms);
}
