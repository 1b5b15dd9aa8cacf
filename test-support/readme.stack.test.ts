import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startTestStack } from "./stack.ts";

const run = promisify(execFile);
const root = fileURLToPath(new URL("../", import.meta.url));

/** The program in the README, whole: what a newcomer pastes. */
async function program(): Promise<string> {
  const readme = await readFile(join(root, "README.md"), "utf8");
  const [, block] = /```ts\n([\s\S]*?)```/.exec(readme) ?? [];
  if (block === undefined) throw new Error("README.md has no program in TypeScript");
  return block;
}

test("the README's agent runs as printed, with what npm start tells to put into .env", async () => {
  const stack = await startTestStack({ migrationsDir: join(root, "supabase/migrations") });
  // Below the root, so that the packages are found as they are for a program of a user.
  await mkdir(join(root, ".agent-federation"), { recursive: true });
  const folder = await mkdtemp(join(root, ".agent-federation", "readme-"));
  try {
    const file = join(folder, "agent.ts");
    await writeFile(file, `${await program()}\nawait hub.shutdown();\nawait memories.shutdown();\n`);
    const env = {
      PATH: process.env["PATH"],
      SUPABASE_URL: stack.url,
      SUPABASE_ANON_KEY: stack.anonKey,
      SUPABASE_SERVICE_ROLE_KEY: stack.serviceRoleKey,
      SUPABASE_JWT_SECRET: stack.jwtSecret,
    };
    const options = ["--import", "tsx", "--conditions=@agent-federation/source"];
    const { stdout } = await run(process.execPath, [...options, file], { cwd: root, env });
    expect(stdout).toBe("analyst is here\n");
  } finally {
    await rm(folder, { recursive: true, force: true });
    await stack.close();
  }
}, 120_000);
