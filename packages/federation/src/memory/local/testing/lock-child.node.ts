// Opens a store, says "open" or why not, and keeps it until it is killed or its input ends.
import { openLocalStore } from "../open-local-store.node.ts";

const [dataDir = "", store = ""] = process.argv.slice(2);
const say = (line: string): void => void process.stdout.write(`${line}\n`);
say("ready");
process.stdin.once("data", () => {
  openLocalStore({ store, dataDir }).then(
    () => say("open"),
    (error: unknown) => say(`refused ${String(error)}`),
  );
});
process.stdin.once("end", () => process.exit());
