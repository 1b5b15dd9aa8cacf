// The thread that searches one large graph: it maps the graph's file, which takes too long for the event loop, and answers one query after the other.
import { parentPort, workerData } from "node:worker_threads";
import { unbroken } from "../../../runtime/unbroken-work.node.ts";
import type { GraphAnswer, GraphCall, GraphOrder } from "./graph-messages.ts";
import { loadUsearch, mapGraph, slotsOf } from "./usearch.node.ts";

// Both ends are ours: graph-thread.node.ts gives and sends what graph-messages.ts says.
const order = workerData as GraphOrder;
const port = parentPort;
if (port === null) throw new TypeError("graph thread: not started as a thread");

const { flags } = order;
const createGraph = unbroken(flags, loadUsearch);
if (createGraph === undefined) throw new TypeError("graph thread: usearch is not installed");
const graph = unbroken(flags, () => mapGraph(createGraph, order));

port.on("message", (call: GraphCall) => {
  if (call.type === "close") return port.close();
  const { keys } = unbroken(flags, () => graph.search(call.query, call.count, 1));
  const slots: GraphAnswer = slotsOf(keys);
  port.postMessage(slots, [slots.buffer]);
});
