import { join } from "node:path";
import { peer, type OpenEngine } from "./engine.ts";

interface Statement {
  run(...values: unknown[]): void;
  all(...values: unknown[]): { readonly id: string }[];
}

interface Sqlite {
  exec(sql: string): void;
  prepare(sql: string): Statement;
  transaction(run: () => void): () => void;
  loadExtension(path: string): void;
  close(): void;
}

/** sqlite-vec in SQLite, as the package libsql brings it: exact, of float32 vectors. */
export const open: OpenEngine = async (place) => {
  const Database = peer<new (path: string) => Sqlite>(place, "libsql");
  const db = new Database(join(place.folder, "memories.db"));
  db.loadExtension(peer<{ getLoadablePath(): string }>(place, "sqlite-vec").getLoadablePath());
  db.exec("pragma journal_mode = wal; pragma synchronous = normal;");
  db.exec(
    "create table if not exists memories (row integer primary key, id text unique, owner text, content text)",
  );
  db.exec(
    "create virtual table if not exists vectors using vec0(row integer primary key, owner text, " +
      `embedding float[${place.dimensions}] distance_metric=cosine)`,
  );
  const addRow = db.prepare("insert into memories values (?, ?, ?, ?)");
  const addVector = db.prepare(
    "insert into vectors (row, owner, embedding) values (cast(? as integer), ?, ?)",
  );
  const nearest = (filter: string): Statement =>
    db.prepare(
      "select m.id, m.owner, m.content, v.embedding from vectors v join memories m on m.row = v.row " +
        `where v.embedding match ? and k = ? ${filter} order by v.distance`,
    );
  const [any, owned] = [nearest(""), nearest("and v.owner = ?")];
  const bytes = (vector: Float32Array): Buffer =>
    Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength);
  return {
    insert: async (rows) =>
      db.transaction(() => {
        for (const { id, owner, content, vector } of rows) {
          const row = Number(id.slice(-8)) + 1;
          addRow.run(row, id, owner, content);
          addVector.run(row, owner, bytes(vector));
        }
      })(),
    search: async (query, count, owner) =>
      (owner === undefined ? any.all(bytes(query), count) : owned.all(bytes(query), count, owner)).map(
        ({ id }) => id,
      ),
    close: async () => db.close(),
  };
};
