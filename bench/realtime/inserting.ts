/** Inserts rows beside a measurement, in a process of its own, until that is over. */
import { ownQuestion } from "../harness/own-process.ts";
import { requester } from "./http.ts";
import type { Inserting } from "./insert-beside.ts";

const { served, rows } = ownQuestion<Inserting>();
const request = requester(served);
const body = JSON.stringify(
  Array.from({ length: rows }, (_, index) => ({
    title: `Note ${index}: something to remember`,
    position: index,
  })),
);
let isOver = false;
process.once("disconnect", () => (isOver = true));
process.on("SIGINT", () => {}); // the parent ends us: Ctrl-C reaches the whole group
await request("/rest/v1/notes", body);
process.send?.("inserting");
while (!isOver) await request("/rest/v1/notes", body);
process.exit(0); // connections that are kept alive would hold us
