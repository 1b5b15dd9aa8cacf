// Runs a TypeScript file in this process. As an argument of Node the loader would also be that of every thread, and cost it a quarter of a second.
import { register } from "tsx/esm/api";

register();
await import(process.argv[3] ?? "");
