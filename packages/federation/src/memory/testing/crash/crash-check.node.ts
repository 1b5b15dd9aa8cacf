import { readdirSync } from "node:fs";
import { join } from "node:path";
import { folderName } from "../../local/folder.node.ts";
import type { TenantStore } from "../../local/local-store.ts";
import { openLocalStore } from "../../local/open-local-store.node.ts";
import { openCrashEngine } from "./crash-engine.node.ts";
import { isWhole, mayBeGone } from "./crash-rows.node.ts";
import { rowsOnServer } from "./crash-server.node.ts";
import { crashStore } from "./crash-store.node.ts";
import type { CrashResult, CrashTrial } from "./crash-trial.node.ts";

/** What a child said before it was killed. */
export interface Said {
  readonly tried: Map<string, number>;
  readonly done: Map<string, number>;
  readonly groups: (readonly (readonly [id: string, generation: number])[])[];
  acknowledged: number;
}

/** Opens what the child left, compares it with what was said, and the server with it. */
export async function lookAtStore(trial: CrashTrial, said: Said): Promise<Omit<CrashResult, "acknowledged">> {
  const hadBuild = isBuilding(join(trial.dataDir, folderName(trial.store), "segments"));
  const store = await openLocalStore(crashStore(trial));
  try {
    const tenant = store.tenant("t");
    const pending = new Set(tenant.outbox({ maxRows: 1e6, maxBytes: 1e12 }).map(({ row }) => row.id));
    const wrong = [
      ...wrongIds(trial, tenant, said),
      ...wrongGroups(trial, said),
      ...[...pending].flatMap((id) => (tenant.get(id) === undefined ? `${id}: in the outbox, not held` : [])),
      ...(await wrongCounts(tenant)),
      ...(await wrongSearches(tenant)),
      ...(await wrongOnServer(trial, tenant, pending)),
    ];
    if (trial.settles === true && trial.server !== undefined)
      wrong.push(...(await wrongAfterSync(trial, tenant)));
    return { wrong, hadBuild, hadPending: pending.size > 0, rows: trial.ids.size };
  } finally {
    await store.close();
  }
}

function wrongIds({ ids }: CrashTrial, tenant: TenantStore, said: Said): string[] {
  const wrong: string[] = [];
  for (const id of new Set([...ids.keys(), ...said.tried.keys()])) {
    const before = ids.get(id) ?? { held: 0, used: 0 };
    const used = Math.max(before.used, said.tried.get(id) ?? 0);
    const atLeast = said.done.get(id) ?? before.held;
    const row = tenant.get(id);
    const held = row?.hlc.ms ?? 0;
    const isGone = row === undefined && mayBeGone(id, atLeast, used); // a clean-up took the tombstone
    if (held < atLeast && !isGone) wrong.push(`${id}: ${atLeast} was acknowledged, ${held} is held`);
    if (held > used) wrong.push(`${id}: ${held} is held, and was never written`);
    if (row !== undefined && !isWhole(row)) wrong.push(`${id}: ${held} is not whole`);
    ids.set(id, { held, used });
  }
  return wrong;
}

/** Rows that were written together are all there, or none. */
function wrongGroups({ ids }: CrashTrial, { groups, tried }: Said): string[] {
  return groups.flatMap((group) => {
    const isMissing = ([id, generation]: readonly [string, number]): boolean =>
      (ids.get(id)?.held ?? 0) < generation;
    const missing = group.filter(isMissing);
    const isUnclear = group.some(
      ([id, generation]) => (tried.get(id) ?? 0) > generation || mayBeGone(id, generation, generation),
    );
    if (isUnclear || missing.length === 0 || missing.length === group.length) return [];
    return `${missing.length} of ${group.length} that were written together are missing: ${missing.join(" ")}`;
  });
}

async function wrongCounts(tenant: TenantStore): Promise<string[]> {
  let living = 0;
  for await (const row of tenant.rows()) if (row.deleted_at === null) living += 1;
  const counted = tenant.counts(0).living;
  return living === counted ? [] : [`${living} living rows, ${counted} counted`];
}

/** The nearest to a memory is the memory, whatever graphs the kill left behind. */
async function wrongSearches(tenant: TenantStore): Promise<string[]> {
  const wrong: string[] = [];
  let asked = 0;
  for (const row of await tenant.newest({ nowMs: 0, limit: 400 })) {
    if (row.embedding === null || asked++ % 40 !== 0) continue;
    const { embedding } = row;
    const [best] = await tenant.searchMeaning({ embedding, model: null, nowMs: 0, limit: 1 });
    if (best?.row.id !== row.id) wrong.push(`${row.id}: a search for its own vector finds ${best?.row.id}`);
  }
  return wrong;
}

/** What is not in the outbox any more is on the server as it is here; of the rest it has nothing newer, and nothing half. */
async function wrongOnServer(
  { server, ids }: CrashTrial,
  tenant: TenantStore,
  pending: ReadonlySet<string>,
): Promise<string[]> {
  if (server === undefined) return [];
  const rows = await rowsOnServer(server);
  const wrong = [...rows.values()].flatMap((row) =>
    isWhole(row) ? [] : `${row.id}: ${row.hlc.ms} is not whole on the server`,
  );
  if (tenant.counts(0).dead > 0) wrong.push(`${tenant.counts(0).dead} were refused`);
  for (const [id, { used, held }] of ids) {
    const there = rows.get(id)?.hlc.ms ?? 0;
    const isCleaned = held === 0 && (there === 0 || rows.get(id)?.deleted_at != null);
    const isBehind = pending.has(id) ? there > held : there !== held && !isCleaned;
    if (there > used || isBehind)
      wrong.push(`${id}: the server has ${there}, ${pending.has(id) ? "waiting is" : "here is"} ${held}`);
  }
  return wrong;
}

async function wrongAfterSync(trial: CrashTrial, tenant: TenantStore): Promise<string[]> {
  const { server } = trial;
  if (server === undefined) return [];
  const opened = openCrashEngine(tenant, server);
  try {
    await opened.engine.drain({
      signal: AbortSignal.any([AbortSignal.timeout(120_000), ...signalsOf(trial)]),
    });
    await opened.engine.sync();
  } finally {
    await opened.close();
  }
  for (const [id, facts] of trial.ids) trial.ids.set(id, { ...facts, held: tenant.get(id)?.hlc.ms ?? 0 });
  const wrong = await wrongOnServer(trial, tenant, new Set());
  return wrong.map((each) => `after a sync: ${each}`);
}

function signalsOf({ signal }: CrashTrial): AbortSignal[] {
  return signal === undefined ? [] : [signal];
}

function isBuilding(folder: string): boolean {
  try {
    return readdirSync(folder, { recursive: true }).some((name) => String(name).endsWith(".part"));
  } catch {
    return false; // nothing was ever built
  }
}
