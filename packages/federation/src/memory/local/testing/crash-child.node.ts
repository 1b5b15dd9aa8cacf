// Writes to a store until it is killed, and says what it is about to write and what was acknowledged, a line each:
// "try <id> <version>", then "done <id> <version>"; of rows that are written together, the same words in one line.
import { writeSync } from "node:fs";
import { openLocalStore } from "../open-local-store.node.ts";
import { crashRow, generator } from "./crash-rows.ts";

const [dataDir = "", name = "", seed = "0", durability = "process", versions = "{}"] = process.argv.slice(2);
const random = generator(Number(seed));
const known = new Map(Object.entries(JSON.parse(versions) as Record<string, number>)); // the trial made it
const say = (word: string, rows: readonly { readonly id: string; readonly version: number }[]): void => {
  writeAll(`${word}${rows.map(({ id, version }) => ` ${id} ${version}`).join("")}\n`);
};

const store = await openLocalStore({
  store: name,
  dataDir,
  durability: durability === "power" ? "power" : "process",
  maxJournalFileBytes: 40_000,
});
const tenant = store.tenant("t");

async function writeOne(): Promise<void> {
  const count = random() < 0.8 ? 1 : 2 + Math.floor(random() * 30);
  const ids = new Set(Array.from({ length: count }, () => `id-${Math.floor(random() * 400)}`));
  const rows = [...ids].map((id) => {
    const version = (known.get(id) ?? 0) + 1;
    known.set(id, version);
    return crashRow(id, version);
  });
  say("try", rows);
  if (random() < 0.7)
    await tenant.write(
      rows.map((row) => ({ row })),
      { outbox: true },
    );
  else await tenant.apply(rows);
  say("done", rows);
}

async function pushSome(): Promise<void> {
  const entries = tenant.outbox({ maxRows: 20, maxBytes: 1e6 });
  await tenant.settle(entries.map(({ place, row }) => ({ outcome: "applied", place, row })));
}

for (;;) {
  const draw = random();
  if (draw < 0.03) await store.flush();
  else if (draw < 0.1) await pushSome();
  else await Promise.all(Array.from({ length: draw < 0.5 ? 1 : 8 }, writeOne));
}

/** At once, so that a kill cannot come between the deed and the word; the pipe may be full while its reader is busy. */
function writeAll(text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
