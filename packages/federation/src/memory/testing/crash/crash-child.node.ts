// Writes to a store until it is killed, and says what it is about to write and what was acknowledged, a line each:
// "try <id> <generation>", then "done <id> <generation>"; of rows that are written together, the same words in one line.
import { openLocalStore } from "../../local/open-local-store.node.ts";
import { writeAtOnce } from "../write-at-once.node.ts";
import { openCrashEngine } from "./crash-engine.node.ts";
import { crashRow, generator } from "./crash-rows.node.ts";
import { crashStore, type ChildOrders } from "./crash-store.node.ts";

const orders = JSON.parse(process.argv[2] ?? "") as ChildOrders; // the trial made it
const random = generator(orders.seed);
const used = new Map(Object.entries(orders.used));
const say = (word: string, rows: readonly { readonly id: string; readonly ms: number }[]): void => {
  writeAtOnce(`${word}${rows.map(({ id, ms }) => ` ${id} ${ms}`).join("")}\n`);
};

const store = await openLocalStore(crashStore(orders));
const tenant = store.tenant("t");
const engine = orders.server === undefined ? undefined : openCrashEngine(tenant, orders.server).engine;

async function writeOne(): Promise<void> {
  const count = random() < 0.8 ? 1 : 2 + Math.floor(random() * 30);
  const ids = new Set(Array.from({ length: count }, () => `id-${Math.floor(random() * 400)}`));
  const rows = [...ids].map((id) => {
    const generation = (used.get(id) ?? 0) + 1;
    used.set(id, generation);
    return crashRow(id, generation);
  });
  const said = rows.map(({ id, hlc: { ms } }) => ({ id, ms }));
  say("try", said);
  const isFromServer = engine === undefined && random() < 0.3;
  if (isFromServer) await tenant.apply(rows);
  else
    await tenant.write(
      rows.map((row) => ({ row })),
      { outbox: true },
    );
  say("done", said);
  engine?.wrote();
}

async function pushSome(): Promise<void> {
  if (engine !== undefined) return engine.hint();
  const entries = tenant.outbox({ maxRows: 20, maxBytes: 1e6 });
  await tenant.settle(entries.map(({ place, row }) => ({ outcome: "applied", place, row })));
}

for (;;) {
  const draw = random();
  if (draw < 0.03) await store.flush();
  else if (draw < 0.05)
    await tenant.cleanup({ nowMs: Date.now(), tombstonesBeforeMs: Date.now() + 3_600_000 });
  else if (draw < 0.12) await pushSome();
  else await Promise.all(Array.from({ length: draw < 0.5 ? 1 : 8 }, writeOne));
  // Where writes alone would be too fast to meet anything else, the sync and the builder get their turns.
  if (draw > 0.9) await new Promise((resolve) => setImmediate(resolve));
}
