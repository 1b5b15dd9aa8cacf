// Builds packages/federation/src/memory/vectors/kernel.gen.ts from kernel.wat beside it; with --check it only compares.
import { readFileSync, writeFileSync } from "node:fs";
import { compileKernel, generatedPath, kernelModuleText } from "./lib/kernel.mjs";
import { bad, good } from "./lib/terminal.mjs";

const text = kernelModuleText(await compileKernel());
if (!process.argv.includes("--check")) {
  writeFileSync(generatedPath, text);
  good("kernel.gen.ts is built");
} else if (readFileSync(generatedPath, "utf8") === text) {
  good("kernel.gen.ts is what kernel.wat says");
} else {
  bad("kernel.gen.ts is not what kernel.wat says: run node scripts/build-kernel.mjs");
  process.exitCode = 1;
}
