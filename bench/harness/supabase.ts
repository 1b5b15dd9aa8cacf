import { once } from "node:events";
import type { ChildProcess } from "node:child_process";
import { firstMessage, startOwnProcess } from "./own-process.ts";
import type { ServeQuestion, Served } from "./serve-supabase.ts";

export interface SupabaseProcess extends Served {
  readonly child: ChildProcess;
  close(): Promise<void>;
}

/** A local Supabase with our migrations in a process of its own, which ends with this one. */
export async function startSupabaseProcess(
  question: ServeQuestion = {},
  flags: readonly string[] = [],
): Promise<SupabaseProcess> {
  const file = new URL("serve-supabase.ts", import.meta.url);
  const child = startOwnProcess(file, question, flags);
  const served = (await firstMessage(child, file)) as Served; // serve-supabase.ts sends nothing else
  return {
    ...served,
    child,
    close: async () => {
      if (child.connected) child.disconnect();
      if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    },
  };
}
