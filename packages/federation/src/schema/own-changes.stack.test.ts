import { afterAll, beforeAll, expect, test } from "vitest";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import {
  agent,
  call,
  callRows,
  newTenant,
  openFederationDatabase,
} from "../../../../test-support/sql-roles.ts";
import { settled } from "./testing/settled.ts";

let database: Database;
beforeAll(async () => {
  database = await openFederationDatabase();
});
afterAll(() => database.close());

interface Told {
  readonly id: string;
  readonly deleted_at: string | null;
  readonly [key: string]: unknown;
}
interface Page {
  readonly rows: readonly Told[];
}

test("who asks for changes gets what it wrote without its content, and all else as pull_memories gives it", async () => {
  const clock = (writer: string) => ({ ms: 5, counter: 0, writer });
  const alice = agent(newTenant(), "alice");
  const given = { content: "text", embedding: "[1,2]", metadata: { of: "it" }, source: [1] };
  await callRows(database, alice, "push_memories", {
    memories: [
      { id: "own", ...given, hlc: clock("w") },
      { id: "other", ...given, hlc: clock("another") },
      { id: "gone", ...given, hlc: clock("w") },
    ],
  });
  await call(database, alice, "delete_memory", { id: "gone" });
  await settled(database);
  const { rows } = await call<Page>(database, alice, "pull_memories", {});
  const brief = await call<Page>(database, alice, "pull_changes", { writer: "w" });
  const saidBy = (row: Told): string[] =>
    ["content", "embedding", "metadata", "source"].filter((name) => name in row);
  expect(brief).toMatchObject({ done: true, reset: false });
  expect(brief.rows).toEqual(
    rows.map((row) => {
      const { content: _content, embedding: _embedding, metadata: _metadata, source: _source, ...own } = row;
      return row.id === "own" ? own : row;
    }),
  );
  expect(brief.rows.map((row) => [row.id, saidBy(row).length])).toEqual([
    ["other", 4],
    ["own", 0],
    ["gone", 4],
  ]);
});
