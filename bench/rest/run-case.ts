/** One case: starts the server in its own process, fills the table, applies the load, answers with the samples. */
import { once } from "node:events";
import { applyLoad, type Measured } from "../harness/load.ts";
import { firstMessage, ownQuestion, startOwnProcess } from "../harness/own-process.ts";
import type { RestCase } from "./cases.ts";
import { noteBatch, preparedNotes, senderOf } from "./clients.ts";
import type { Served, ServeQuestion } from "./serve.ts";

export interface CaseQuestion {
  readonly restCase: RestCase;
  readonly serve: ServeQuestion;
}

const { restCase, serve } = ownQuestion<CaseQuestion>();
const file = new URL("serve.ts", import.meta.url);
const server = startOwnProcess(file, serve);
const served = (await firstMessage(server, file)) as Served; // serve.ts sends nothing else
try {
  const fill = senderOf("node:http", "bulk insert", served);
  for (let rows = 0; rows < preparedNotes; rows += noteBatch.length) await fill(rows);
  const measured: Measured = await applyLoad(
    restCase.load,
    senderOf(restCase.client, restCase.operation, served),
  );
  await new Promise<void>((resolve) => process.send?.(measured, () => resolve()));
} finally {
  server.disconnect();
  if (server.exitCode === null) await once(server, "exit");
}
process.exit(0); // sockets that are kept alive would hold us
