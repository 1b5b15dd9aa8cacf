import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";

const sourceCondition = "--conditions=@agent-federation/source";

/** Runs a file of ours in a process of its own, on the sources or the built packages as we do, and resolves to the one message it sends. The signal disconnects it. */
export async function askOwnProcess(file: URL, question: unknown, signal?: AbortSignal): Promise<unknown> {
  const child = startOwnProcess(file, question);
  const stop = (): void => {
    if (child.connected) child.disconnect();
  };
  signal?.addEventListener("abort", stop, { once: true });
  try {
    const answer = await firstMessage(child, file);
    if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
    return answer;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

/** The first argument of the new process is `question` as JSON, `flags` are for Node. It ends when `disconnect` is called or we end. */
export function startOwnProcess(file: URL, question: unknown, flags: readonly string[] = []): ChildProcess {
  const condition = process.execArgv.filter((flag) => flag === sourceCondition);
  return fork(new URL("start.mjs", import.meta.url), [JSON.stringify(question), file.href], {
    execArgv: [...flags, ...condition],
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
}

/** Rejects when the process ends without having said anything. */
export async function firstMessage(child: ChildProcess, file: URL): Promise<unknown> {
  return await new Promise((resolve, reject) => {
    child.once("message", resolve);
    child.once("error", reject);
    child.once("exit", (code, signal) =>
      reject(new Error(`${file.pathname}: ended with ${signal ?? code}, saying nothing`)),
    );
  });
}

/** What `startOwnProcess` was given. The caller knows its type: both files are ours and change together. */
export function ownQuestion<T>(): T {
  return JSON.parse(process.argv[2] ?? "null") as T;
}
