import { spawn } from "node:child_process";

/** One line for a person who waits. */
export type Progress = (line: string) => void;

/** Resolves to what the program printed; rejects with its last lines. */
export async function runQuietly(
  program: string,
  args: readonly string[],
  options: { readonly cwd?: string } = {},
): Promise<string> {
  const child = spawn(program, args, {
    ...options,
    env: { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let printed = "";
  let complaints = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (printed += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (complaints += text));
  return await new Promise((resolve, reject) => {
    child.once("error", (cause) => reject(new Error(`${program}: cannot be started`, { cause })));
    child.once("close", (code) => {
      if (code === 0) return resolve(printed);
      const lines = `${printed}\n${complaints}`.trim().split("\n").slice(-20).join("\n");
      reject(new Error(`${program} ${args.join(" ")}: exit code ${code}\n${lines}`));
    });
  });
}
