import pg from "pg";
import type { OpenEngine } from "./engine.ts";

/** A plain table with pgvector's HNSW index, on a native Postgres, asked by one connection. The index is built when all rows are in. */
export const open: OpenEngine = async ({ databaseUrl, dimensions, isNew }) => {
  const client = new pg.Client({ connectionString: databaseUrl });
  await client.connect();
  if (isNew) {
    await client.query("create extension if not exists vector");
    await client.query(
      `create table memories (id text primary key, owner text, content text, embedding vector(${dimensions}))`,
    );
    await client.query("create index on memories (owner)");
  }
  await client.query("set hnsw.iterative_scan = strict_order");
  const text = (vector: Float32Array): string => `[${vector.join(",")}]`;
  const nearest = (filter: string): string =>
    `select id, owner, content, embedding from memories ${filter} order by embedding <=> $1 limit $2`;
  return {
    insert: async (rows) => {
      const columns = [
        rows.map(({ id }) => id),
        rows.map(({ owner }) => owner),
        rows.map(({ content }) => content),
        rows.map(({ vector }) => text(vector)),
      ];
      await client.query(
        "insert into memories select * from unnest($1::text[], $2::text[], $3::text[], $4::vector[])",
        columns,
      );
    },
    search: async (query, count, owner) => {
      const name = owner === undefined ? "any" : "owned";
      const found = await client.query<{ id: string }>({
        name,
        text: nearest(owner === undefined ? "" : "where owner = $3"),
        values: [text(query), count, ...(owner === undefined ? [] : [owner])],
      });
      return found.rows.map(({ id }) => id);
    },
    finish: async () => {
      await client.query("set maintenance_work_mem = '2GB'");
      await client.query("create index on memories using hnsw (embedding vector_cosine_ops)");
      await client.query("analyze memories");
    },
    close: () => client.end(),
  };
};
