/*
 * A thread that is within native code when the process ends is stopped there. What then comes back into JavaScript ends the process with an
 * abort (usearch), or never (lmdb-js within a transaction). So the end of the process waits for such work, and none begins any more.
 */

/** What a thread and its owner look at. */
export type EndFlags = Int32Array<SharedArrayBuffer>;

const isWorkingAt = 0;
const isOverAt = 1;
/** What takes longer is broken off after all. */
const longestWaitMs = 10_000;

const running = new Set<EndFlags>();
let isWatching = false;

/** For the owner of a thread, who gives them to it, and forgets them once it has ended. */
export function watchedFlags(): EndFlags {
  const flags = new Int32Array(new SharedArrayBuffer(8));
  running.add(flags);
  if (!isWatching) process.once("exit", endAll);
  isWatching = true;
  return flags;
}

export function forgetFlags(flags: EndFlags): void {
  running.delete(flags);
}

/** Whether the thread is within work that must not be broken off. */
export function isWorking(flags: EndFlags): boolean {
  return Atomics.load(flags, isWorkingAt) === 1;
}

/** For the thread: work that must not be broken off. Throws where the process is ending. */
export function unbroken<T>(flags: EndFlags, work: () => T): T {
  Atomics.store(flags, isWorkingAt, 1); // before the look: whoever ends the process looks the other way round
  try {
    refuseIfOver(flags);
    return work();
  } finally {
    Atomics.store(flags, isWorkingAt, 0);
    Atomics.notify(flags, isWorkingAt);
  }
}

/** For the steps of long work, which can be given up between two of them. */
export function refuseIfOver(flags: EndFlags): void {
  if (Atomics.load(flags, isOverAt) === 1) throw new Error("the process ends");
}

function endAll(): void {
  for (const flags of running) Atomics.store(flags, isOverAt, 1);
  for (const flags of running) if (isWorking(flags)) Atomics.wait(flags, isWorkingAt, 1, longestWaitMs);
}
