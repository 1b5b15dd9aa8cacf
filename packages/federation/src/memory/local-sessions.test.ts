import { expect, test } from "vitest";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { LocalSessions } from "./local-sessions.ts";

const ann = { tenantId: "t", agentId: "ann" };

test("a session is its agent's, is reopened by it, and is one of its tenant", async () => {
  const clock = new TestClock();
  const sessions = new LocalSessions(clock);
  const first = await sessions.register("s", ann, { model: "small" });
  await clock.advance(1_000);
  const again = await sessions.register("s", ann, undefined);
  expect(again).toMatchObject({ started_at: first.started_at, metadata: { model: "small" } });
  expect(again.last_seen_at > first.last_seen_at).toBe(true);
  await expect(sessions.register("s", { ...ann, agentId: "bob" }, undefined)).rejects.toMatchObject({
    code: "forbidden",
  });
  expect(await sessions.active("elsewhere")).toEqual([]);
  await sessions.register("s", { ...ann, tenantId: "elsewhere" }, undefined);
  await expect(sessions.setStatus("s", "busy")).rejects.toMatchObject({ code: "conflict" });
});

test("an ended session is not listed, ends once, and begins anew when it is registered again", async () => {
  const clock = new TestClock();
  const sessions = new LocalSessions(clock);
  const first = await sessions.register("s", ann, undefined);
  await sessions.register("later", ann, undefined);
  expect((await sessions.active("t")).map((each) => each.session_id)).toEqual(["later", "s"]);
  await clock.advance(1_000);
  const ended = await sessions.setStatus("s", "failed");
  expect(ended).toMatchObject({ status: "offline", end_reason: "failed" });
  expect(await sessions.setStatus("s", "completed")).toMatchObject({
    end_reason: "failed",
    ended_at: ended.ended_at,
  });
  await expect(sessions.setStatus("s", "busy")).rejects.toMatchObject({ code: "not_found" });
  expect((await sessions.active("t")).map((each) => each.session_id)).toEqual(["later"]);
  const anew = await sessions.register("s", ann, undefined);
  expect(anew.ended_at).toBeNull();
  expect(anew.started_at > first.started_at).toBe(true);
});
