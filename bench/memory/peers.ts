import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packagesOf, type EngineName } from "./cases.ts";

/**
 * Installs what an engine needs into folders of their own, never into the workspace, and runs nothing of it at install time. Undefined
 * when it is there; otherwise why it is not.
 */
export async function installPeer(peers: string, engine: EngineName): Promise<string | undefined> {
  for (const spec of packagesOf[engine]) {
    const name = spec.slice(0, spec.lastIndexOf("@"));
    const folder = join(peers, name.replace("/", "+"));
    if (existsSync(join(folder, "node_modules", name))) continue;
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "package.json"), '{ "private": true }\n');
    const args = ["install", "--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", spec];
    const npm = spawn(process.platform === "win32" ? "npm.cmd" : "npm", args, {
      cwd: folder,
      stdio: ["ignore", "ignore", "pipe"],
    });
    let complaints = "";
    npm.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
    const [code] = (await once(npm, "close")) as [number | null];
    if (code === 0) continue;
    rmSync(folder, { recursive: true, force: true });
    return `${spec} did not install: ${complaints.trim().split("\n")[0] ?? `npm ended with ${code}`}`;
  }
  return undefined;
}
