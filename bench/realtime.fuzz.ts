/** Does Realtime survive what anybody may send, and leave everybody else in peace? `npm run fuzz:realtime -- --help` */
import { parseArgs } from "node:util";
import { complaints, table } from "./fuzz/report.ts";
import { fuzz } from "./fuzz/run.ts";
import { provenance } from "./harness/machine.ts";
import { writeResults } from "./harness/results.ts";

const usage = `
npm run fuzz:realtime [-- --frames <n>] [--seed <n>] [--out <folder>]

Sends hostile and half valid frames of all kinds on many sockets to a server in a process of its own, while two official
clients keep exchanging broadcasts and presence. Fails when the server ends, when a client misses something, when sockets,
channels or memory are left behind, or when its log tells of a mistake.
--frames  how many; default 100,000. A million takes some minutes.
--seed    what they follow from; default any. A run says its seed, and the same seed sends the same frames.
--out     writes realtime-fuzz.json and realtime-fuzz.md there.`;

const values = readOptions();
if (values.help === true) console.log(usage.trim());
else await main(wholeNumber("--frames", values.frames), wholeNumber("--seed", values.seed));

function readOptions() {
  try {
    return parseArgs({
      options: {
        frames: { type: "string", default: "100000" },
        seed: { type: "string", default: String(Date.now() % 2 ** 32) },
        out: { type: "string" },
        help: { type: "boolean", short: "h" },
      },
    }).values;
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

async function main(frames: number, seed: number): Promise<void> {
  console.error(`seed ${seed}`);
  const origin = { ...provenance(["@electric-sql/pglite", "ws", "@supabase/supabase-js"]) };
  const onProgress = (sent: number): void => {
    if (sent % 50_000 < 40) console.error(`${sent.toLocaleString("en-US")} frames`);
  };
  const answer = await fuzz({ frames, seed, onProgress }).catch((error: unknown) => {
    console.error(`failed: ${String(error)} (seed ${seed})`);
    process.exit(1);
  });
  console.log(table(answer));
  if (values.out !== undefined)
    await writeResults(values.out, "realtime-fuzz", { origin, results: [answer], table: table(answer) });
  const wrong = complaints(answer);
  for (const complaint of wrong) console.error(`failed: ${complaint} (seed ${seed})`);
  process.exitCode = wrong.length === 0 ? 0 : 1;
}

function wholeNumber(option: string, text: string): number {
  const number = Number(text);
  const isWhole = text.trim() !== "" && Number.isInteger(number) && number >= 0 && number < 2 ** 32;
  return isWhole ? number : refuse(`${option}: expected a whole number from 0 to 4294967295, got "${text}"`);
}

function refuse(problem: string): never {
  console.error(`${problem}\n\n${usage.trim()}`);
  process.exit(2);
}
