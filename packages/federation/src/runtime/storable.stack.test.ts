import { afterAll, beforeAll, expect, test } from "vitest";
import { openTestDatabase } from "../../../../test-support/database.ts";
import type { Database } from "../../../local-supabase/src/database/database.ts";
import { isUnstorable, storable } from "./json.ts";

let database: Database;
beforeAll(async () => {
  database = await openTestDatabase();
});
afterAll(() => database.close());

test.each([
  "plain",
  "\0",
  "a\0b",
  "\\u0000",
  "\\\0",
  "\\\\u0000",
  "\ud83d\ude00",
  "\ud800",
  "\ude00",
  "\ude00\ud83d",
  "\ud83d\ud83d\ude00",
  "\\ud800",
  "\u0001\n\t\u001f\u2028",
])(
  "Postgres stores %j, or not, as isUnstorable says, and what storable leaves of it always",
  async (text) => {
    const isStored = async (json: string): Promise<boolean> =>
      await database.query("select $1::jsonb ->> 'k'", [json]).then(
        () => true,
        () => false,
      );
    for (const value of [{ k: text }, { [text]: 1 }, [[text]]]) {
      const json = JSON.stringify(value);
      expect(await isStored(json)).toBe(!isUnstorable(json));
    }
    expect(await isStored(JSON.stringify({ k: storable(text) }))).toBe(true);
    if (!isUnstorable(JSON.stringify(text))) expect(storable(text)).toBe(text);
  },
);
