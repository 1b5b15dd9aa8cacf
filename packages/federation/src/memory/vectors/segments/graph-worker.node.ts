// The thread that searches one large graph: it maps the graph's file, which takes too long for the event loop, and answers one query after the other.
import { parentPort, workerData } from "node:worker_threads";
import type { GraphAnswer, GraphCall, GraphOrder } from "./graph-messages.ts";
import { loadUsearch, mapGraph, slotsOf } from "./usearch.node.ts";

// Both ends are ours: graph-thread.node.ts gives and sends what graph-messages.ts says.
const order = workerData as GraphOrder;
const port = parentPort;
if (port === null) throw new TypeError("graph thread: not started as a thread");

const createGraph = loadUsearch();
if (createGraph === undefined) throw new TypeError("graph thread: usearch is not installed");
const graph = mapGraph(createGraph, order);

port.on("message", (call: GraphCall) => {
  if (call.type === "close") return port.close();
  const slots: GraphAnswer = slotsOf(graph.search(call.query, call.count, 1).keys);
  port.postMessage(slots, [slots.buffer]);
});
