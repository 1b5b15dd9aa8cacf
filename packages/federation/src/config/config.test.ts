import { createClient } from "@supabase/supabase-js";
import fc from "fast-check";
import { expect, test } from "vitest";
import { resolveTransport } from "../connection/transport.ts";
import { isFederationError } from "../runtime/errors.ts";
import { resolveAccess, type AccessOptions } from "./access.ts";
import { readEnvironment, type Environment } from "./environment.ts";
import { resolveHubOptions, type HubOptions } from "./hub-options.ts";
import { isId } from "./ids.ts";

const url = "https://project.example";
const jwt = (claims: object): string => `h.${btoa(JSON.stringify(claims)).replaceAll("=", "")}.s`;
const anonKey = jwt({ role: "anon" });
const serviceKey = jwt({ role: "service_role" });
const complete: Environment = {
  SUPABASE_URL: url,
  SUPABASE_ANON_KEY: anonKey,
  SUPABASE_SERVICE_ROLE_KEY: serviceKey,
  SUPABASE_JWT_SECRET: "secret",
  FEDERATION_ACCESS_TOKEN: "token",
};
const without = (...names: string[]): Environment =>
  Object.fromEntries(Object.entries(complete).filter(([name]) => !names.includes(name)));

test("the credential is the callback, then the token, then the secret, then the service role key", () => {
  const accessToken = (): string => "x";
  const kinds = [
    resolveAccess({ accessToken }, complete, false),
    resolveAccess({}, complete, false),
    resolveAccess({}, without("FEDERATION_ACCESS_TOKEN"), false),
    resolveAccess({}, without("FEDERATION_ACCESS_TOKEN", "SUPABASE_JWT_SECRET"), false),
  ].map((access) => access.credential.kind);
  expect(kinds).toEqual(["callback", "token", "secret", "service-role"]);
});

test("the anon key alone is refused with the four remedies", () => {
  const environment = { SUPABASE_URL: url, SUPABASE_ANON_KEY: anonKey };
  expect(() => resolveAccess({}, environment, false)).toThrow(
    /anon key alone.*accessToken callback.*FEDERATION_ACCESS_TOKEN.*SUPABASE_JWT_SECRET.*SUPABASE_SERVICE_ROLE_KEY/,
  );
});

test("an explicit service role key yields to any lesser credential", () => {
  expect(resolveAccess({ serviceRoleKey: serviceKey }, complete, false).credential.kind).toBe("token");
  expect(
    resolveAccess(
      { serviceRoleKey: "sb_secret_1" },
      { SUPABASE_URL: url, SUPABASE_SERVICE_ROLE_KEY: serviceKey },
      false,
    ),
  ).toEqual({
    url,
    apiKey: "sb_secret_1",
    credential: { kind: "service-role", key: "sb_secret_1" },
  });
});

test("the environment's keys are not sent to another project", () => {
  const other: AccessOptions = { url: "https://other.example", anonKey: "sb_publishable_x" };
  expect(() => resolveAccess(other, complete, false)).toThrow(/anon key alone/);
  expect(resolveAccess({ url: `${url}/` }, complete, false).credential.kind).toBe("token");
});

test("new keys mean what the old ones mean, and a service key in the anon key's place is a service key", () => {
  const environment = { SUPABASE_URL: url };
  expect(resolveAccess({ anonKey: "sb_publishable_x", jwtSecret: "s" }, environment, false)).toMatchObject({
    apiKey: "sb_publishable_x",
    credential: { kind: "secret" },
  });
  expect(resolveAccess({ anonKey: serviceKey }, environment, false)).toMatchObject({
    credential: { kind: "service-role" },
  });
  expect(resolveAccess({ anonKey: "sb_secret_x" }, environment, false)).toMatchObject({
    apiKey: "sb_secret_x",
  });
});

test("a browser holds no secret", () => {
  const page = (options: AccessOptions): (() => unknown) => {
    return () => resolveAccess({ url, anonKey, ...options }, {}, true);
  };
  for (const options of [
    { jwtSecret: "s" },
    { serviceRoleKey: "sb_secret_x" },
    { anonKey: serviceKey, accessToken: "t" },
  ]) {
    expect(page(options)).toThrow(/given to a page/);
  }
  expect(page({ accessToken: () => "t" })()).toMatchObject({ apiKey: anonKey });
});

test("no URL, a URL that is none and a missing anon key are told apart", () => {
  expect(() => resolveAccess({}, {}, false)).toThrow(/no Supabase URL/);
  expect(() => resolveAccess({ url: "project.example" }, {}, false)).toThrow(/expected http/);
  expect(() => resolveAccess({ url, jwtSecret: "s" }, {}, false)).toThrow(/SUPABASE_ANON_KEY/);
});

const resolve = (
  options: HubOptions = {},
  environment: Environment = complete,
): ReturnType<typeof resolveHubOptions> =>
  resolveHubOptions({ agentId: "a", tenantId: "t" }, options, { environment, inBrowser: false });

test("the defaults are those that callers know", () => {
  expect(resolve()).toMatchObject({
    heartbeatMs: 30_000,
    memorySync: true,
    broadcastLatency: "low",
    presenceGraceMs: 1_500,
    rosterThreshold: 100,
    sessionTimeoutSeconds: 90,
  });
});

test("the environment fills what the options leave out, and options win", () => {
  const environment = {
    ...complete,
    FEDERATION_HEARTBEAT_INTERVAL: "60000",
    FEDERATION_MEMORY_SYNC: "false",
    FEDERATION_BROADCAST_LATENCY: "high",
  };
  const filled = {
    heartbeatMs: 60_000,
    memorySync: false,
    broadcastLatency: "high",
    sessionTimeoutSeconds: 180,
  };
  expect(resolve({}, environment)).toMatchObject(filled);
  expect(
    resolve({ presenceHeartbeat: 5, memorySync: true, broadcastLatency: "low" }, environment),
  ).toMatchObject({
    heartbeatMs: 5,
    memorySync: true,
    broadcastLatency: "low",
  });
});

test.each<[string, HubOptions, Environment]>([
  ["a heartbeat that is no number", {}, { FEDERATION_HEARTBEAT_INTERVAL: "30s" }],
  ["a latency nobody knows", {}, { FEDERATION_BROADCAST_LATENCY: "medium" }],
  ["a switch that is neither true nor false", {}, { FEDERATION_MEMORY_SYNC: "maybe" }],
  ["a plan nobody has", {}, { FEDERATION_PLAN_MESSAGES_PER_SECOND: "free" }],
  ["a plan that allows nothing", { planMessagesPerSecond: 0 }, {}],
  ["a plan that nobody may be seen on", { planPresencePerSecond: 0 }, {}],
  ["a negative interval", { presenceHeartbeat: -1 }, {}],
  ["a threshold of nothing", { rosterThreshold: 0 }, {}],
])("%s is refused", (_name, options, environment) => {
  expect(() => resolve(options, { ...complete, ...environment })).toThrow(/expected/);
});

test("the plan is the Free one, none on this machine, or what is said", () => {
  const hosted = "https://abc.supabase.co";
  const { planMessagesPerSecond: limit, planPresencePerSecond: seen } = resolve();
  expect([limit(hosted), limit("http://127.0.0.1:54321")]).toEqual([100, undefined]);
  expect([seen(hosted), seen("http://127.0.0.1:54321")]).toEqual([20, undefined]);
  const pro = { ...complete, FEDERATION_PLAN_PRESENCE_PER_SECOND: "50" };
  expect(resolve({}, pro).planPresencePerSecond("http://localhost:1")).toBe(50);
  expect(resolve({ planMessagesPerSecond: 500 }).planMessagesPerSecond("http://localhost:1")).toBe(500);
  const off = { ...complete, FEDERATION_PLAN_MESSAGES_PER_SECOND: "off" };
  expect(resolve({}, off).planMessagesPerSecond(hosted)).toBeUndefined();
});

test("ids are 1 to 128 of a small alphabet", () => {
  fc.assert(
    fc.property(fc.stringMatching(/^[A-Za-z0-9._@-]{1,128}$/), (id) => {
      expect(isId(id)).toBe(true);
    }),
  );
  for (const bad of ["", "a b", "a/b", "a:b", "ü", "x".repeat(129), undefined, null, 7, "a\n"])
    expect(isId(bad)).toBe(false);
  expect(() =>
    resolveHubOptions({ agentId: "a b", tenantId: "t" }, {}, { environment: complete, inBrowser: false }),
  ).toThrow(/agentId: expected/);
});

test("the options that a caller passed stay as they are", () => {
  const options: HubOptions = Object.freeze({
    metadata: Object.freeze({ a: 1 }),
    capabilities: Object.freeze(["x"]),
  });
  expect(resolve(options).capabilities).not.toBe(options.capabilities);
});

test("empty environment variables count as missing", () => {
  const before = process.env["SUPABASE_URL"];
  process.env["SUPABASE_URL"] = " ";
  try {
    expect(readEnvironment()["SUPABASE_URL"]).toBeUndefined();
  } finally {
    if (before === undefined) delete process.env["SUPABASE_URL"];
    else process.env["SUPABASE_URL"] = before;
  }
});

test("a client's URL, key and token are taken over, wherever the token sits", async () => {
  const realtime = { transport: await resolveTransport() };
  const byHeader = createClient(url, anonKey, {
    global: { headers: { authorization: "Bearer user-token" } },
    realtime,
  });
  expect(resolve({ client: byHeader }, {}).access()).toEqual({
    url,
    apiKey: anonKey,
    credential: { kind: "token", token: "user-token", from: "the accessToken option" },
  });
  const byCallback = createClient(url, anonKey, { accessToken: async () => "called", realtime });
  const { credential } = resolve({ client: byCallback }, {}).access();
  expect(credential.kind === "callback" && (await credential.accessToken())).toBe("called");
  const signedOut = resolve({ client: createClient(url, anonKey, { realtime }) }, {}).access().credential;
  await expect(signedOut.kind === "callback" && signedOut.accessToken()).rejects.toSatisfy((error) =>
    isFederationError(error, "credentials"),
  );
  const byServiceKey = createClient(url, serviceKey, { realtime });
  expect(resolve({ client: byServiceKey }, {}).access().credential.kind).toBe("service-role");
});
