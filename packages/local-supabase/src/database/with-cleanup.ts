import type { Database } from "./database.ts";

/** `database`, whose close() goes on with `cleanUp`, also when closing failed. */
export function withCleanup(database: Database, cleanUp: () => void | Promise<void>): Database {
  let closing: Promise<void> | undefined;
  const close = async (): Promise<void> => {
    try {
      await database.close();
    } finally {
      await cleanUp();
    }
  };
  return {
    kind: database.kind,
    query: (sql, params) => database.query(sql, params),
    transaction: (run) => database.transaction(run),
    batch: (statements) => database.batch(statements),
    exec: (sql) => database.exec(sql),
    listen: (channel, onPayload) => database.listen(channel, onPayload),
    close: () => (closing ??= close()),
  };
}
