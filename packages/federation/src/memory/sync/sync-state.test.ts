import { expect, test } from "vitest";
import { FederationError } from "../../runtime/errors.ts";
import { EngineBench } from "./testing/engine-bench.ts";

test("what sending fails with is the last error until it goes well, although reading does, and logged once", async () => {
  const bench = new EngineBench();
  const { clock } = bench;
  const logged: string[] = [];
  const { engine, server, write } = bench.open("a", {
    log: (level, message) => void (level === "error" && logged.push(message)),
  });
  await clock.run(1_000);
  server.refuses = ({ name }) =>
    name === "push" ? new FederationError("forbidden", "not from this network") : undefined;
  await write("m");
  await clock.run(400_000);
  const callsOf = (which: string): number => server.calls.filter(({ name }) => name === which).length;
  expect(Math.min(callsOf("push"), callsOf("pull"))).toBeGreaterThan(5);
  expect(engine.state).toMatchObject({ isOnline: true, pending: 1, lastError: { code: "forbidden" } });
  expect(logged).toHaveLength(1);
  server.refuses = () => undefined;
  await clock.run(60_000);
  expect(engine.state).toMatchObject({ pending: 0, lastError: undefined });
});
