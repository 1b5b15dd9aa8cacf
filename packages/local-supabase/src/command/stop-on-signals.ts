const exitCodes = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const;

/** npm passes on the Ctrl-C that the terminal has sent already: two so close together are one. */
const sameSignalMs = 500;

/** The first signal aborts, a second one ends the process at once. */
export function stopOnSignals(onFirst: () => void): {
  readonly signal: AbortSignal;
  readonly exitCode: () => number;
} {
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
      onFirst();
      controller.abort();
    });
  }
  return { signal: controller.signal, exitCode: () => code };
}
