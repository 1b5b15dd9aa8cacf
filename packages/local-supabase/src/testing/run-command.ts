import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

const bin = fileURLToPath(new URL("../../bin/supabase-local.js", import.meta.url));

/** `supabase-local` in a process of its own. */
export class RunningCommand {
  readonly process: ChildProcess;
  readonly #exited: Promise<number | null>;
  stdout = "";
  stderr = "";

  constructor(words: readonly string[], env: Readonly<Record<string, string>> = {}) {
    this.process = spawn(process.execPath, ["--liftoff-only", bin, ...words], {
      stdio: ["ignore", "pipe", "pipe"],
      cwd: fileURLToPath(new URL(".", import.meta.url)), // where no supabase/migrations is
      env: { ...process.env, ...env },
    });
    this.process.stdout?.on("data", (data: Buffer) => (this.stdout += data.toString()));
    this.process.stderr?.on("data", (data: Buffer) => (this.stderr += data.toString()));
    this.#exited = once(this.process, "close").then(() => this.process.exitCode);
  }

  /** Resolves to the variables it printed, when it is up; rejects when it ended before. */
  async up(): Promise<Readonly<Record<string, string>>> {
    const hasPrinted = async (): Promise<void> => {
      while (!this.stdout.includes("SUPABASE_JWT_SECRET=")) await once(this.process.stdout!, "data");
    };
    const ended = this.#exited.then((code) => {
      throw new Error(`supabase-local ended with ${code}: ${this.stderr}`);
    });
    await Promise.race([hasPrinted(), ended]);
    ended.catch(() => undefined);
    return Object.fromEntries(
      this.stdout
        .trim()
        .split("\n")
        .map((line) => line.split("=", 2)),
    );
  }

  /** Sends the signal and resolves to the exit code; null after a signal that nothing can answer. */
  async end(signal: NodeJS.Signals): Promise<number | null> {
    this.process.kill(signal);
    return await this.#exited;
  }

  exited(): Promise<number | null> {
    return this.#exited;
  }
}
