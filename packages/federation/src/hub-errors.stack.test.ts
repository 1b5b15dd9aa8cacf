import { schemaVersion } from "./connection/schema-check.ts";
import { createServer, type AddressInfo } from "node:net";
import { SignJWT } from "jose";
import { expect, test } from "vitest";
import { startTestStack } from "../../../test-support/stack.ts";
import type { HubOptions } from "./config/hub-options.ts";
import type { FederationError } from "./runtime/errors.ts";
import { createRealtimeHub } from "./realtime-hub.ts";
import { migrationsDir, useHubBench } from "./testing/hub-bench.node.ts";

const bench = useHubBench();

/** What initialize rejects with; the hub must be closed by then, and say the same. */
async function failure(options: HubOptions): Promise<FederationError> {
  const hub = bench.make("a", options);
  const error = await hub.initialize().then(
    () => {
      throw new Error("initialize resolved");
    },
    (reason: FederationError) => reason,
  );
  expect(await hub.closed).toBe(error);
  expect(hub.state).toEqual({ name: "closed", cause: error });
  return error;
}

test("a URL where nobody listens is unreachable", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo; // of a TCP server
  await new Promise((resolve) => server.close(resolve));
  expect(await failure({ url: `http://127.0.0.1:${port}` })).toMatchObject({
    code: "unreachable",
    remedy: expect.stringContaining("URL"),
  });
});

test("a URL where somebody listens and never answers ends in a timeout", async () => {
  const server = createServer((socket) => bench.defer(() => socket.destroy()));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  bench.defer(() => server.close());
  const { port } = server.address() as AddressInfo; // of a TCP server
  const error = await failure({ url: `http://127.0.0.1:${port}`, initializeTimeoutMs: 300 });
  expect(error).toMatchObject({ code: "timeout", message: expect.stringContaining("schema version") });
});

test("a wrong API key is told from a refused token", async () => {
  expect(await failure({ anonKey: "sb_publishable_wrong" })).toMatchObject({
    code: "unauthorized",
    message: expect.stringContaining("refused the API key"),
  });
  expect(await failure({ jwtSecret: "another secret of more than thirty-two characters" })).toMatchObject({
    code: "unauthorized",
    message: expect.stringContaining("refused the access token"),
  });
  expect(await failure({ serviceRoleKey: "sb_secret_wrong" })).toMatchObject({ code: "unauthorized" });
});

test("the anon key alone is refused with what to do instead", async () => {
  const { url, anonKey } = bench.stack;
  const hub = createRealtimeHub("a", bench.tenant, { url, anonKey });
  await expect(hub.initialize()).rejects.toMatchObject({
    code: "credentials",
    remedy: expect.stringContaining("accessToken callback"),
  });
});

test("an expired token, one for another agent and one for no tenant are refused before anything is sent", async () => {
  const secret = new TextEncoder().encode(bench.stack.jwtSecret);
  const now = Math.floor(Date.now() / 1000);
  const sign = (claims: object, exp: number): Promise<string> =>
    new SignJWT({ role: "authenticated", ...claims })
      .setProtectedHeader({ alg: "HS256" })
      .setIssuedAt(exp - 60)
      .setExpirationTime(exp)
      .sign(secret);
  const member = { app_metadata: { tenant_id: bench.tenant, agent_id: "a" } };
  expect(await failure({ accessToken: await sign(member, now - 5) })).toMatchObject({
    code: "unauthorized",
    message: expect.stringContaining("expired"),
  });
  expect(await failure({ accessToken: await bench.mint("b") })).toMatchObject({
    code: "unauthorized",
    message: expect.stringContaining("is for b"),
  });
  expect(await failure({ accessToken: await bench.mint("a", "another-tenant") })).toMatchObject({
    code: "unauthorized",
  });
  expect(await failure({ accessToken: await sign({ sub: "x" }, now + 60) })).toMatchObject({
    code: "credentials",
  });
});

test("an accessToken callback that throws or hangs ends initialize with its reason", async () => {
  const thrown = await failure({ accessToken: () => Promise.reject(new Error("the vault is sealed")) });
  expect(thrown).toMatchObject({
    code: "credentials",
    message: expect.stringContaining("the vault is sealed"),
  });
  const hung = await failure({
    accessToken: () => new Promise<string>(() => {}),
    initializeTimeoutMs: 300,
    requestTimeoutMs: 200,
  });
  expect(hung).toMatchObject({ code: "timeout" });
});

test("a project without the migrations names the command that applies them", async () => {
  const bare = await startTestStack();
  bench.defer(() => bare.close());
  const { url, anonKey, jwtSecret } = bare;
  expect(await failure({ url, anonKey, jwtSecret })).toMatchObject({
    code: "schema_missing",
    remedy: expect.stringContaining("supabase db push"),
  });
});

test.each([
  [schemaVersion - 1, "supabase db push"],
  [schemaVersion + 1, "npm install agent-federation@latest"],
])("schema version %i is an error that names the command", async (version, command) => {
  const { url } = bench.stack;
  // A fake at the wire: the version is all that differs.
  const answering: typeof fetch = (input, init) => {
    const target = input instanceof Request ? input.url : String(input);
    if (!target.startsWith(`${url}/rest/v1/rpc/schema_version`)) return fetch(input, init);
    return Promise.resolve(
      new Response(String(version), { headers: { "content-type": "application/json" } }),
    );
  };
  expect(await failure({ fetch: answering })).toMatchObject({
    code: "schema_version",
    remedy: expect.stringContaining(command),
  });
});

test("a request that a closed connection swallows is not taken for a project that does not answer", async () => {
  const { url } = bench.stack;
  let swallowed = 0;
  const once: typeof fetch = (input, init) => {
    const target = input instanceof Request ? input.url : String(input);
    if (swallowed > 0 || !target.startsWith(`${url}/rest/v1/rpc/schema_version`)) return fetch(input, init);
    swallowed += 1;
    return Promise.reject(new TypeError("fetch failed", { cause: new Error("other side closed") }));
  };
  const hub = bench.make("a", { fetch: once });
  await hub.initialize();
  expect([hub.state.name, swallowed]).toEqual(["online", 1]);
});

test("a hub that is shut down while it initializes is closed, and initialize says so", async () => {
  const hub = bench.make("a");
  const initializing = hub.initialize();
  const outcome = expect(initializing).rejects.toMatchObject({ code: "closed" });
  await hub.shutdown();
  await outcome;
  expect(hub.state.name).toBe("closed");
});

test("with the server gone no call resolves as if it had happened", async () => {
  const stack = await startTestStack({
    migrationsDir,
  });
  const { url, anonKey, jwtSecret } = stack;
  const hub = await bench.open("a", { url, anonKey, jwtSecret, requestTimeoutMs: 4_000 });
  await stack.close();
  const calls = [
    hub.sendMessage("b", "x", {}),
    hub.broadcast("x", {}),
    hub.updateStatus("busy"),
    hub.assignTask({ task_id: "t", assigned_to: "b", description: "d" }),
    hub.shareKnowledge("k"),
  ];
  for (const outcome of await Promise.allSettled(calls)) {
    expect(outcome).toMatchObject({
      status: "rejected",
      reason: { name: "FederationError", code: "timeout" },
    });
  }
  expect(hub.state.name).toBe("reconnecting");
});
