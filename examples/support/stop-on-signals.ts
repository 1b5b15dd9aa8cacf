const exitCodes = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

// npm passes on the Ctrl-C that the terminal has sent already: two so close together are one.
const sameSignalMs = 500;

export interface StopRequest {
  /** Aborts at the first signal: everything should end in order. */
  readonly signal: AbortSignal;
  /** What a process ends with that a signal has ended. */
  readonly exitCode: () => number;
}

/** A second signal ends this process at once; its children notice. */
export function stopOnSignals(): StopRequest {
  const controller = new AbortController();
  let code = 1;
  let firstMs = 0;
  for (const [name, exitCode] of Object.entries(exitCodes)) {
    process.on(name, () => {
      if (controller.signal.aborted) {
        if (performance.now() - firstMs > sameSignalMs) process.exit(exitCode);
        return;
      }
      code = exitCode;
      firstMs = performance.now();
      console.error("\nEnding in order; once more to end at once");
      controller.abort();
    });
  }
  return { signal: controller.signal, exitCode: () => code };
}
