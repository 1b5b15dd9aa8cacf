import { exitCode, onSignal } from "./child.mjs";
import { bad, step } from "./terminal.mjs";

/**
 * Starts a native Postgres of its own for as long as `use` runs, which gets its URL and answers an exit code. Packages
 * must be installed (ensureInstalled): the server is started by TypeScript.
 *
 * @param {{ durable?: boolean }} options
 * @param {(url: string, version: string) => Promise<number>} use
 * @returns {Promise<number>}
 */
export async function withPostgres(options, use) {
  const { tsImport } = await import("tsx/esm/api");
  const { startNativePostgres } = await tsImport(
    "../../test-support/native-postgres/start.ts",
    import.meta.url,
  );
  /** @type {NodeJS.Signals | undefined} */
  let ended;
  const release = onSignal((signal) => (ended ??= signal));
  try {
    /** @type {{ url: string, version: string, stop(): Promise<void> }} */
    const server = await startNativePostgres({ ...options, progress: step });
    try {
      return ended === undefined ? await use(server.url, server.version) : exitCode(ended);
    } finally {
      await server.stop();
    }
  } catch (error) {
    bad(error instanceof Error ? error.message : String(error));
    return ended === undefined ? 1 : exitCode(ended);
  } finally {
    release();
  }
}
