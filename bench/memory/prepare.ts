/** Draws the vectors of a size and finds what is true of them, in a process of its own that can be ended. */
import { ownQuestion } from "../harness/own-process.ts";
import { Dataset } from "./dataset.ts";

const { data, size } = ownQuestion<{ data: string; size: { dimensions: number; rows: number } }>();
process.once("disconnect", () => process.exit(1));
Dataset.prepare(data, size, (line) => console.error(line));
await new Promise<void>((resolve) => process.send?.("prepared", () => resolve()));
process.exit(0);
