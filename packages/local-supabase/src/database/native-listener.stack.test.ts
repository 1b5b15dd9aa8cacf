import { expect, test } from "vitest";
import { createFreshDatabase, nativeUrl } from "../../../../test-support/database.ts";
import { openNative } from "./open-native.ts";

// Only a server has connections that can be lost.
test.runIf(nativeUrl !== undefined)("a listener hears again after its connection was lost", async () => {
  const fresh = await createFreshDatabase(nativeUrl ?? "");
  const database = await openNative(fresh.url);
  const heard: string[] = [];
  await database.listen("news", (payload) => heard.push(payload));
  await database.query(`
    select pg_terminate_backend(pid) from pg_stat_activity
    where datname = current_database() and query like 'listen%'`);
  await expect
    .poll(async () => {
      await database.query("select pg_notify('news', 'again')");
      return heard.length;
    })
    .toBeGreaterThan(0);
  expect(heard[0]).toBe("again");
  await database.close();
  await fresh.drop();
});
