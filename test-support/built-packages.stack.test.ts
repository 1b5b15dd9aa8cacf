import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));
const packages = ["local-supabase", "federation"] as const;
let folder: string;

/** What `npm publish` would carry: built as for a release, and nothing of the sources. */
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "agent-federation-built-"));
  await cp(join(root, "tsconfig.base.json"), join(folder, "tsconfig.base.json"));
  await symlink(join(root, "node_modules"), join(folder, "node_modules"));
  for (const name of packages) {
    const from = join(root, "packages", name);
    const to = join(folder, "packages", name);
    await mkdir(to, { recursive: true });
    for (const part of ["src", "package.json", "tsconfig.json"]) {
      await cp(join(from, part), join(to, part), { recursive: true });
    }
  }
  await cp(join(root, "packages/local-supabase/bin"), join(folder, "packages/local-supabase/bin"), {
    recursive: true,
  });
  const paths = packages.map((name) => join(folder, "packages", name));
  await build(paths);
  for (const path of paths) await rm(join(path, "src"), { recursive: true });
}, 120_000);

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** The compiler says on its standard output what is wrong, which an Error of execFile leaves out. */
async function build(paths: readonly string[]): Promise<void> {
  const compiler = join(root, "node_modules/typescript/bin/tsc");
  await run(process.execPath, [compiler, "-b", ...paths]).catch((error: { stdout: string }) => {
    throw new Error(`tsc -b: ${error.stdout}`);
  });
}

/** Runs an ES module beside the packages, with plain node. */
async function runModule(source: string): Promise<string> {
  const file = join(folder, "module.mjs");
  await writeFile(file, source);
  const { stdout } = await run(process.execPath, [file]);
  return stdout.trim();
}

async function exportsOf(name: string): Promise<Record<string, { types: string; default: string }>> {
  const manifest: unknown = JSON.parse(
    await readFile(join(folder, "packages", name, "package.json"), "utf8"),
  );
  return (manifest as { exports: Record<string, { types: string; default: string }> }).exports; // ours, written by hand
}

test.each(packages)("every door of %s leads to built code and its types", async (name) => {
  for (const target of Object.values(await exportsOf(name))) {
    const path = join(folder, "packages", name, target.default);
    expect(await readFile(join(folder, "packages", name, target.types), "utf8")).toContain("export");
    const names = await runModule(
      `console.log(Object.keys(await import(${JSON.stringify(path)})).length > 0)`,
    );
    expect(names.split("\n").at(-1)).toBe("true");
  }
});

test("the built local Supabase starts, answers and ends, worker and all", async () => {
  const door = join(folder, "packages/local-supabase/dist/index.js");
  const answer = await runModule(`
    const { startLocalSupabase } = await import(${JSON.stringify(door)});
    const supabase = await startLocalSupabase({ port: 0 });
    const headers = { apikey: supabase.anonKey };
    const { status } = await fetch(supabase.url + "/rest/v1/rpc/no_such_function", { headers });
    await supabase.close();
    console.log(status);`);
  expect(answer.split("\n").at(-1)).toBe("404");
});

test("the built command explains itself", async () => {
  const bin = join(folder, "packages/local-supabase/bin/supabase-local.js");
  const { stdout } = await run(process.execPath, [bin, "--help"]);
  expect(stdout).toContain("--data-dir");
});
