import type { Row } from "./cases.ts";
import { flooded, openHub, paced, perSecond, rowOf, tenant, type Place } from "./place.ts";

/** Saying how one is, saying something to all, and doing nothing. */
export async function measurePresence(place: Place): Promise<Row[]> {
  const hub = await openHub(place, "speaker");
  await openHub(place, "witness");
  const rows: Row[] = [];
  const ms = 3_000 * place.scale;

  const statuses: number[] = [];
  await flooded(1, ms, async (index) => {
    const startMs = performance.now();
    await hub.updateStatus("busy", `task ${index}`);
    if (index >= 10) statuses.push(performance.now() - startMs);
  });
  rows.push(rowOf("updateStatus, one after the other", statuses, { note: "the guide says 15 ms" }));

  const broadcasts: number[] = [];
  await flooded(1, ms / 2, async (index) => {
    const startMs = performance.now();
    await hub.broadcast("note", { index });
    if (index >= 50) broadcasts.push(performance.now() - startMs);
  });
  rows.push(rowOf("broadcast, one after the other", broadcasts, { note: "the guide says 20 ms" }));

  for (const latency of ["low", "high"] as const)
    for (const plan of ["off", 100] as const) rows.push(await measureFlood(place, latency, plan));
  rows.push(await measureIdle(place));
  return rows;
}

/** 10,000 broadcasts a second as the guide says, from one hub to another, the two alone in their tenant. */
async function measureFlood(place: Place, latency: "low" | "high", plan: number | "off"): Promise<Row> {
  const tenantId = `${tenant}-${latency}-${plan}`;
  const options = { broadcastLatency: latency, planMessagesPerSecond: plan, messagesPerMinute: 100_000_000 };
  const hub = await openHub(place, "speaker", options, tenantId);
  const witness = await openHub(place, "witness", options, tenantId);
  let heard = 0;
  let inOrder = 0;
  let last = -1;
  let tellAll = (): void => {};
  const allHeard = new Promise<void>((resolve) => (tellAll = resolve));
  let sent = Infinity;
  witness.on("message:flood", ({ payload }) => {
    const { index } = payload as { index: number }; // what is sent below
    if (index > last) inOrder++;
    last = index;
    if (++heard >= sent) tellAll();
  });
  const before = await frames(place);
  const times: number[] = [];
  const startMs = performance.now();
  await paced(10_000, 5_000 * place.scale, async (index) => {
    const sentMs = performance.now();
    await hub.broadcast("flood", { index });
    times.push(performance.now() - sentMs);
  });
  sent = times.length;
  if (heard < sent) await Promise.race([allHeard, pass(10_000)]);
  const tookMs = performance.now() - startMs;
  const after = await frames(place);
  const counted = perSecond(after.in - before.in + after.deliveries - before.deliveries, tookMs);
  const planned = plan === "off" ? "no plan" : `a plan of ${plan} messages/s`;
  return rowOf(`broadcast, ${latency} latency, ${planned}`, times, {
    perSecond: perSecond(heard, tookMs),
    note: `10,000/s were asked; ${heard} of ${sent} heard, ${inOrder} in order; ${counted} frames and deliveries/s`,
  });
}

const idleAgents = 10;
/** A minute of heartbeats, in a fraction of it. */
const hurry = 20;

/** What an agent costs that does nothing: its requests and frames, counted at its own side and at the server's. */
async function measureIdle(place: Place): Promise<Row> {
  let requests = 0;
  const counting: typeof fetch = (input, init) => {
    requests++;
    return fetch(input, init);
  };
  const heartbeats = { presenceHeartbeat: 30_000 / hurry, socketHeartbeatMs: 25_000 / hurry };
  for (let i = 0; i < idleAgents; i++) await openHub(place, `idle-${i}`, { ...heartbeats, fetch: counting });
  await pass(500); // until what joining set off is over
  const before = await frames(place);
  requests = 0;
  await pass(60_000 / hurry);
  const after = await frames(place);
  const each = (count: number): string => (count / idleAgents).toFixed(1);
  const note =
    `${each(requests)} requests, ${each(after.in - before.in)} frames sent, ${each(after.out - before.out)} received an agent ` +
    `and minute, from a minute's heartbeats in ${60 / hurry} s; ${after.deliveries - before.deliveries} broadcasts delivered`;
  return { name: `${idleAgents} idle agents`, count: idleAgents, note };
}

async function frames({ supabase }: Place): Promise<{ in: number; out: number; deliveries: number }> {
  const text = await (await fetch(`${supabase.url}/metrics`)).text();
  const value = (name: string): number =>
    Number(
      text
        .split("\n")
        .find((line) => line.startsWith(`${name} `))
        ?.slice(name.length) ?? Number.NaN,
    );
  return {
    in: value('realtime_frames_total{direction="in"}'),
    out: value('realtime_frames_total{direction="out"}'),
    deliveries: value("realtime_deliveries_total"),
  };
}

function pass(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
