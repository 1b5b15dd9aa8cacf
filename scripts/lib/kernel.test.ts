import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { compileKernel, generatedPath, kernelModuleText } from "./kernel.mjs";

test("the kernel's binary is what its source builds: else run node scripts/build-kernel.mjs", async () => {
  expect(readFileSync(generatedPath, "utf8")).toBe(kernelModuleText(await compileKernel()));
});
