import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, onTestFinished, test } from "vitest";

test("a process that ends while a thread is within usearch ends as it wanted to", () => {
  const script = fileURLToPath(new URL("../testing/exit-within-usearch.node.ts", import.meta.url));
  const options = { encoding: "utf8", timeout: 60_000, killSignal: "SIGKILL" } as const;
  // Without care nearly each of them is aborted.
  for (let time = 0; time < 3; time++) {
    const folder = mkdtempSync(join(tmpdir(), "exit-within-usearch-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const args = ["--import", "tsx", "--conditions=@agent-federation/source", script, folder];
    const { status, signal, stderr } = spawnSync(process.execPath, args, options);
    expect({ status, signal, stderr }).toEqual({ status: 7, signal: null, stderr: "" });
  }
}, 200_000);
