import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

/** A run of an example's program, for tests: what it printed, and its end. */
export class ExampleRun {
  readonly child: ChildProcess;
  output = "";
  errors = "";
  readonly #watchers = new Set<() => void>();
  readonly #ended: Promise<number>;

  /** In a process group of its own, with only what `environment` adds to the path. */
  constructor(
    file: string,
    args: readonly string[] = [],
    environment: Readonly<Record<string, string>> = {},
  ) {
    const { PATH = "", HOME = "" } = process.env;
    const root = fileURLToPath(new URL("../../", import.meta.url));
    this.child = spawn(
      process.execPath,
      ["--liftoff-only", "--conditions=@agent-federation/source", "--import", "tsx", file, ...args],
      {
        cwd: root,
        env: { PATH, HOME, ...environment },
        detached: true,
        stdio: ["ignore", "pipe", "pipe"],
      },
    );
    this.child.stdout
      ?.setEncoding("utf8")
      .on("data", (text: string) => this.#heard(() => (this.output += text)));
    this.child.stderr
      ?.setEncoding("utf8")
      .on("data", (text: string) => this.#heard(() => (this.errors += text)));
    // "close" comes once nobody holds its output any more: neither the program nor a process that it started.
    this.#ended = once(this.child, "close").then(() => this.child.exitCode ?? -1);
  }

  /** Resolves to the exit code once it and everything it started has ended; -1 where a signal ended it. */
  ended(): Promise<number> {
    return this.#ended;
  }

  /** Resolves once its output holds `text`; rejects when it ends without. */
  async printed(text: string): Promise<void> {
    if (this.output.includes(text)) return;
    const found = new Promise<void>((resolve) => {
      const look = (): void => {
        if (!this.output.includes(text)) return;
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
    });
    const ended = this.#ended.then((code) => {
      if (this.output.includes(text)) return;
      throw new Error(
        `ended with ${code} before it printed ${JSON.stringify(text)}:\n${this.output}\n${this.errors}`,
      );
    });
    await Promise.race([found, ended]);
  }

  /** Ends the whole group, for when a test has failed. */
  kill(): void {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, "SIGKILL");
    } catch {
      // There is no such group any more.
    }
  }

  #heard(add: () => void): void {
    add();
    for (const look of Array.from(this.#watchers)) look();
  }
}
