/** Of many who wait for one task, so many try at once, and twice as many as before after each step. */
const triedAtOnce = 3;
const stepMs = 40;

/**
 * How long a worker waits before it tries to claim a task that all `workers` of the tenant hear of. Each computes its own turn from the
 * two names, without asking anybody: the first turns claim it, the others hear so before theirs comes. Many of them may not work at all:
 * with twice as many each time the last of a thousand has its turn after 320 ms, should nobody before it have claimed.
 */
export function wakeDelayMs(taskId: string, workerId: string, workers: number): number {
  const turn = Math.floor((hash(`${taskId} ${workerId}`) / 2 ** 32) * Math.max(1, workers));
  return Math.floor(Math.log2(turn / triedAtOnce + 1)) * stepMs;
}

/** FNV-1a, 32 bits, with a final mix: neighbouring names are far apart. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let at = 0; at < text.length; at++) value = Math.imul(value ^ text.charCodeAt(at), 0x01000193);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  value = Math.imul(value ^ (value >>> 16), 0x45d9f3b);
  return (value ^ (value >>> 16)) >>> 0;
}
