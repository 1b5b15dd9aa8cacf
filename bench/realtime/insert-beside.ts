import { once } from "node:events";
import { firstMessage, startOwnProcess } from "../harness/own-process.ts";
import type { Served } from "./serve.ts";

/** What `inserting.ts` is asked. */
export interface Inserting {
  readonly served: Served;
  readonly rows: number;
}

/**
 * Inserts `rows` rows in one request, again and again, until the function is called that it resolves to. From a process of
 * its own: to write a large request takes longer than a message takes, and would be measured with it.
 */
export async function keepInserting(served: Served, rows: number): Promise<() => Promise<void>> {
  const file = new URL("inserting.ts", import.meta.url);
  const question: Inserting = { served, rows };
  const child = startOwnProcess(file, question);
  await firstMessage(child, file);
  return async () => {
    if (child.connected) child.disconnect();
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    if (child.exitCode !== 0)
      throw new Error(`inserting beside ended with ${child.signalCode ?? child.exitCode}`);
  };
}
