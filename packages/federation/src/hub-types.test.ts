import {
  createRealtimeHub,
  defineTask,
  type CoordinationMessage,
  type StandardSchema,
  type TaskAssignment,
} from "agent-federation";
import { expect, expectTypeOf, test } from "vitest";

declare module "agent-federation" {
  interface FederationMessageTypes {
    merged_type: { readonly merged: true };
  }
}

const options = { url: "http://127.0.0.1:1", anonKey: "a", jwtSecret: "s" };

test("a listener knows its message", () => {
  const hub = createRealtimeHub<{ own_type: { readonly own: number } }>("a", "t", options);
  hub.on("message:task_assignment", (message) => {
    expectTypeOf(message.payload.description).toEqualTypeOf<string>();
    expectTypeOf(message.payload["topic"]).toEqualTypeOf<unknown>();
  });
  hub.on("message:share_knowledge", ({ payload }) =>
    expectTypeOf(payload["findings"]).toEqualTypeOf<unknown>(),
  );
  hub.on("message:request_help", ({ payload }) => expectTypeOf(payload.from).toEqualTypeOf<string>());
  hub.on("message:own_type", ({ payload }) => expectTypeOf(payload.own).toEqualTypeOf<number>());
  hub.on("message:merged_type", ({ payload }) => expectTypeOf(payload.merged).toEqualTypeOf<true>());
  hub.on("message:anything_else", (message) => expectTypeOf(message.payload).toEqualTypeOf<unknown>());
  hub.on("message:received", (message) => expectTypeOf(message).toExtend<CoordinationMessage>());
  hub.on("agent:join", ({ agent_id }) => expectTypeOf(agent_id).toEqualTypeOf<string>());
  hub.on("memory:added", ({ content }) => expectTypeOf(content).toEqualTypeOf<string | null>());
  hub.on("error", ({ error }) => expectTypeOf(error).toEqualTypeOf<Error>());
  hub.on("state", ({ to }) =>
    expectTypeOf(to.name).toEqualTypeOf<"idle" | "connecting" | "online" | "reconnecting" | "closed">(),
  );
  // @ts-expect-error: there is no such event
  hub.on("agent:vanish", () => {});
  const task: TaskAssignment = { task_id: "t", assigned_to: "a", description: "d", topic: "extra" };
  expect(task["topic"]).toBe("extra");
});

test("a kind of task is typed at both ends by its schemas", () => {
  const anything = <Value>(): StandardSchema<Value> => ({
    "~standard": { version: 1, vendor: "test", validate: (value) => ({ value: value as Value }) },
  });
  const review = defineTask("review", {
    input: anything<{ readonly file: string }>(),
    output: anything<{ readonly fine: boolean }>(),
  });
  const facts = { task_id: "t", description: "d", assigned_to: "a" };
  expectTypeOf(review.assignment)
    .parameter(0)
    .toHaveProperty("input")
    .toEqualTypeOf<{ readonly file: string }>();
  // @ts-expect-error: the input is another
  void review.assignment({ ...facts, input: { file: 7 } });
  review.handler(({ file }) => ({ fine: file.endsWith(".ts") }));
  // @ts-expect-error: the result is another
  review.handler(() => ({ fine: "yes" }));
  expectTypeOf(review.result).returns.resolves.toEqualTypeOf<{ readonly fine: boolean }>();
});

test("bad ids are refused when the hub is made, a missing credential when it is initialized", async () => {
  expect(() => createRealtimeHub("a b", "t", options)).toThrow(/agentId/);
  expect(() => createRealtimeHub("a", "", options)).toThrow(/tenantId/);
  const hub = createRealtimeHub("a", "t", { url: "http://127.0.0.1:1", anonKey: "sb_publishable_1" });
  await expect(hub.initialize()).rejects.toMatchObject({ code: "credentials" });
  expect(hub.state).toMatchObject({ name: "closed", cause: { code: "credentials" } });
  expect(await hub.closed).toMatchObject({ code: "credentials" });
});

test("before it is initialized and after it is shut down a hub says so", async () => {
  const hub = createRealtimeHub("a", "t", options);
  await expect(hub.broadcast("x", {})).rejects.toMatchObject({ code: "invalid_state" });
  expect(hub.getActiveAgents()).toEqual([]);
  expect((await hub.getStats()).state).toBe("idle");
  await hub.shutdown();
  expect(hub.shutdown()).toBe(hub.shutdown());
  await expect(hub.sendMessage("b", "x", {})).rejects.toMatchObject({ code: "closed" });
  await expect(hub.initialize()).rejects.toMatchObject({ code: "closed" });
  expect(await hub.closed).toBeUndefined();
});
