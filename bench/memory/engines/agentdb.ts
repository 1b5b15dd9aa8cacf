import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { filePath, type OpenEngine } from "./engine.ts";

interface AgentDb {
  createDatabase(path: string): Promise<{ exec(sql: string): void; close(): void }>;
  readonly ReflexionMemory: new (db: object, embedder: object) => Reflexion;
}

interface Reflexion {
  storeEpisode(episode: object): Promise<number>;
  retrieveRelevant(query: object): Promise<{ readonly task: string }[]>;
}

/** agentdb 1.x as a program uses it: its SQLite in WebAssembly, which reaches the disk when it is closed, and its default search. */
export const open: OpenEngine = async (place) => {
  // Its front door needs a native package that is built at install time; these two do not, and are what it searches with by default.
  const load = async (file: string): Promise<object> =>
    (await import(pathToFileURL(filePath(place, "agentdb", `dist/${file}.js`)).href)) as object;
  const parts = { ...(await load("db-fallback")), ...(await load("controllers/ReflexionMemory")) };
  const agentdb = parts as AgentDb; // pinned: 1.6.1 has both
  const db = await agentdb.createDatabase(join(place.folder, "agent.db"));
  if (place.isNew) db.exec(readFileSync(filePath(place, "agentdb", "dist/schemas/schema.sql"), "utf8"));
  let next = new Float32Array(place.dimensions);
  const memory = new agentdb.ReflexionMemory(db, { embed: async () => next });
  return {
    insert: async (rows) => {
      for (const { id, owner, content, vector } of rows) {
        next = Float32Array.from(vector);
        await memory.storeEpisode({ sessionId: owner, task: id, output: content, reward: 1, success: true });
      }
    },
    search: async (query, k, owner) => {
      if (owner !== undefined) throw new TypeError("agentdb filters no owner");
      next = Float32Array.from(query);
      return (await memory.retrieveRelevant({ task: "", k })).map(({ task }) => task);
    },
    close: async () => db.close(),
  };
};
