#!/usr/bin/env node
// The built command; in a checkout that was never built, the source.
import { existsSync } from "node:fs";

const built = new URL("../dist/command/main.js", import.meta.url);
if (existsSync(built)) {
  await import(built.href);
} else {
  const { register } = await import("tsx/esm/api");
  register();
  await import(new URL("../src/command/main.ts", import.meta.url).href);
}
