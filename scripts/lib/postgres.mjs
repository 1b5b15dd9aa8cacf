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
  /** @type {{ url: string, version: string, stop(): Promise<void> }} */
  let server;
  try {
    server = await startNativePostgres({ ...options, progress: step });
  } catch (error) {
    bad(error instanceof Error ? error.message : String(error));
    return 1;
  }
  try {
    return await use(server.url, server.version);
  } finally {
    await server.stop();
  }
}
