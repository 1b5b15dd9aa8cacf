/** One group of cases: starts the server in its own process, applies the load from this one, answers with the rows. */
import { fileURLToPath } from "node:url";
import { ownQuestion } from "../harness/own-process.ts";
import { startSupabaseProcess } from "../harness/supabase.ts";
import type { CoordinationCase, Row } from "./cases.ts";
import { measureJoinStorm } from "./join-storm.ts";
import { measureMessages } from "./messages.ts";
import { measurePeers } from "./peers.ts";
import type { Place } from "./place.ts";
import { measurePresence } from "./presence.ts";
import { measureTasks } from "./tasks.ts";

export interface CaseQuestion {
  readonly coordinationCase: CoordinationCase;
  readonly databaseUrl?: string;
}

const { coordinationCase, databaseUrl } = ownQuestion<CaseQuestion>();
const stopping = new AbortController();
process.once("SIGINT", () => process.exit(130)); // and with this process ends the server
process.once("disconnect", () => process.exit(130));
const supabase = await startSupabaseProcess({
  ...(databaseUrl === undefined ? {} : { databaseUrl }),
  moreMigrations: fileURLToPath(new URL("migrations", import.meta.url)),
});
const place: Place = { supabase, databaseUrl, scale: coordinationCase.scale, hubs: [] };
try {
  const rows = await measure();
  await Promise.all(place.hubs.map((hub) => hub.shutdown()));
  await new Promise<void>((resolve) => process.send?.(rows, () => resolve()));
} finally {
  await supabase.close();
}
process.exit(0); // connections that are kept alive would hold us

function measure(): Promise<Row[]> {
  switch (coordinationCase.group) {
    case "messages":
      return measureMessages(place);
    case "presence":
      return measurePresence(place);
    case "join storm":
      return measureJoinStorm(place, stopping.signal);
    case "tasks":
      return measureTasks(place, 0);
    case "tasks beside many":
      return measureTasks(place, (databaseUrl === undefined ? 100_000 : 1_000_000) * coordinationCase.scale);
    case "peers":
      return measurePeers(place);
  }
}
