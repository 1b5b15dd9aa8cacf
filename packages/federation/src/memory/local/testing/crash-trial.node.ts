import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { isDeepStrictEqual } from "node:util";
import type { Durability } from "../local-store.ts";
import { openLocalStore } from "../open-local-store.node.ts";
import { crashRow } from "./crash-rows.ts";

export interface CrashTrial {
  readonly dataDir: string;
  readonly store: string;
  readonly seed: number;
  readonly durability: Durability;
  /** The child is killed as soon as so many writes were acknowledged. */
  readonly acknowledgements: number;
  /** Of each id what is held, from the trials before; changed to what is held after this one. */
  readonly held: Map<string, number>;
}

export interface CrashResult {
  readonly acknowledged: number;
  /** What must not be: empty. */
  readonly wrong: readonly string[];
}

/** Kills a process that writes, opens what it left, and compares that with what it had said. */
export async function runCrashTrial(trial: CrashTrial): Promise<CrashResult> {
  const said = await writeUntilKilled(trial);
  const wrong: string[] = [];
  const store = await openLocalStore({ store: trial.store, dataDir: trial.dataDir });
  try {
    const tenant = store.tenant("t");
    const pending = new Set(tenant.outbox({ maxRows: 1e6, maxBytes: 1e12 }).map(({ row }) => row.id));
    for (const [id, tried] of said.tried) {
      const row = tenant.get(id);
      const version = row?.version ?? 0;
      const atLeast = said.done.get(id) ?? trial.held.get(id) ?? 0;
      if (version < atLeast) wrong.push(`${id}: version ${atLeast} was acknowledged, ${version} is held`);
      if (version > tried) wrong.push(`${id}: version ${version} is held, and was never written`);
      if (row !== undefined && !isDeepStrictEqual(row, crashRow(id, version)))
        wrong.push(`${id}: version ${version} is not whole`);
      trial.held.set(id, version);
    }
    for (const group of said.groups) {
      const present = group.filter(([id, version]) => (trial.held.get(id) ?? 0) >= version).length;
      const overwritten = group.some(([id, version]) => (said.tried.get(id) ?? 0) > version);
      if (!overwritten && present !== 0 && present !== group.length)
        wrong.push(
          `${present} of ${group.length} rows that were written together are held, not ${group
            .filter(([id, version]) => (trial.held.get(id) ?? 0) < version)
            .map(([id, version]) => `${id} ${version}, but ${trial.held.get(id)}`)
            .join()}`,
        );
    }
    for (const id of pending)
      if (tenant.get(id) === undefined) wrong.push(`${id}: in the outbox, and not held`);
    let living = 0;
    for await (const row of tenant.rows()) if (row.deleted_at === null) living += 1;
    if (living !== tenant.counts(0).living)
      wrong.push(`${living} living rows, ${tenant.counts(0).living} counted`);
  } finally {
    await store.close();
  }
  return { acknowledged: said.acknowledged, wrong };
}

interface Said {
  readonly tried: Map<string, number>;
  readonly done: Map<string, number>;
  readonly groups: (readonly (readonly [id: string, version: number])[])[];
  acknowledged: number;
}

async function writeUntilKilled(trial: CrashTrial): Promise<Said> {
  const child = spawn(
    process.execPath,
    [
      "--import",
      "tsx",
      "--conditions=@agent-federation/source",
      fileURLToPath(new URL("crash-child.node.ts", import.meta.url)),
      trial.dataDir,
      trial.store,
      String(trial.seed),
      trial.durability,
      JSON.stringify(Object.fromEntries(trial.held)),
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exited = once(child, "exit");
  const said: Said = { tried: new Map(), done: new Map(), groups: [], acknowledged: 0 };
  for await (const line of createInterface({ input: child.stdout })) {
    const [word, ...rest] = line.split(" ");
    const group: [string, number][] = [];
    for (let at = 0; at + 1 < rest.length; at += 2) group.push([rest[at] ?? "", Number(rest[at + 1])]);
    const versions = word === "try" ? said.tried : said.done;
    for (const [id, version] of group) versions.set(id, Math.max(version, versions.get(id) ?? 0));
    if (word === "try") said.groups.push(group);
    else if ((said.acknowledged += 1) >= trial.acknowledgements) child.kill("SIGKILL");
  }
  await exited;
  return said;
}
