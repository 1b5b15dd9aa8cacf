import { writeSync } from "node:fs";

/** To stdout, before anything else happens, so that a kill cannot come between the deed and the word; the pipe may be full while its reader is busy. */
export function writeAtOnce(text: string): void {
  for (let rest = Buffer.from(text); rest.length > 0;) {
    try {
      rest = rest.subarray(writeSync(1, rest));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
