import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import wabt from "wabt";

const folder = new URL("../../packages/federation/src/memory/vectors/", import.meta.url);
export const generatedPath = fileURLToPath(new URL("kernel.gen.ts", folder));

/**
 * The binary that kernel.wat says.
 *
 * @returns {Promise<Uint8Array>}
 */
export async function compileKernel() {
  const tools = await wabt();
  const parsed = tools.parseWat("kernel.wat", readFileSync(new URL("kernel.wat", folder), "utf8"), {
    simd: true,
  });
  try {
    parsed.resolveNames();
    parsed.validate();
    return parsed.toBinary({}).buffer;
  } finally {
    parsed.destroy();
  }
}

/**
 * The module with the binary as text, so that neither a bundler nor a build has a file to copy.
 *
 * @param {Uint8Array} binary
 */
export function kernelModuleText(binary) {
  const base64 = Buffer.from(binary).toString("base64");
  return `// Built from kernel.wat by scripts/build-kernel.mjs; not edited by hand.
export const kernelBase64: string =
  "${base64}";
`;
}
