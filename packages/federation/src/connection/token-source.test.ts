import { expect, test } from "vitest";
import { isFederationError } from "../runtime/errors.ts";
import { silentLog } from "../runtime/log.ts";
import { TestClock } from "../runtime/testing/test-clock.ts";
import { openTokenSource, requireActor } from "./credential-source.ts";
import { TokenSource } from "./token-source.ts";
import { readClaims } from "../tokens/claims.ts";

const token = (name: string, clock: TestClock, ttlSeconds: number): string => {
  const issued = Math.floor(clock.now() / 1000);
  return `${name}.${btoa(JSON.stringify({ iat: issued, exp: issued + ttlSeconds }))}.s`;
};

function make(provide: (clock: TestClock, call: number) => Promise<string>): {
  clock: TestClock;
  source: TokenSource;
  calls: () => number;
} {
  const clock = new TestClock();
  let calls = 0;
  const source = new TokenSource({
    provide: () => provide(clock, ++calls),
    clock,
    timeoutMs: 1000,
    log: silentLog,
  });
  return { clock, source, calls: () => calls };
}

test("a token is asked for once, however many wait, and again before it expires", async () => {
  const { clock, source, calls } = make(async (c, call) => token(`t${call}`, c, 3600));
  const [a, b] = await Promise.all([source.token(), source.token()]);
  expect(a).toBe(b);
  await clock.advance(3_500_000);
  expect(await source.token()).toBe(a);
  await clock.advance(20_000); // 80 s before the end: within the margin
  expect(await source.token()).not.toBe(a);
  expect(calls()).toBe(2);
});

test("a token that lives for seconds is renewed after two thirds of its life", async () => {
  const { clock, source } = make(async (c) => token("t", c, 6));
  await source.token();
  expect(source.renewAtMs - clock.now()).toBe(4000);
});

test("when no new one can be had, the old token serves until it expires", async () => {
  const { clock, source, calls } = make(async (c, call) => {
    if (call > 1) throw new Error("the source is down");
    return token("t", c, 300);
  });
  const first = await source.token();
  await clock.advance(250_000);
  expect(await source.token()).toBe(first);
  expect(await source.token()).toBe(first); // not asked again at once
  expect(calls()).toBe(2);
  await clock.advance(51_000);
  await expect(source.token()).rejects.toThrow("the source is down");
});

test("a source that hangs is given up on", async () => {
  const { clock, source } = make(() => new Promise(() => {}));
  const outcome = expect(source.token()).rejects.toSatisfy((error) => isFederationError(error, "timeout"));
  await clock.advance(1000);
  await outcome;
});

test("a token that has expired already is refused", async () => {
  const { source } = make(async (c) => token("t", c, -10));
  await expect(source.token()).rejects.toThrow(/it expired at 20/);
});

test("the secret mints tokens for exactly this agent", async () => {
  const clock = new TestClock(Date.now());
  const actor = { tenantId: "t", agentId: "a" };
  const access = {
    url: "http://x",
    apiKey: "k",
    credential: { kind: "secret", secret: "s".repeat(32) },
  } as const;
  const source = openTokenSource(access, actor, { clock, log: silentLog, timeoutMs: 1000 });
  const first = await source.token();
  expect(readClaims(first)).toMatchObject({ tenantId: "t", agentId: "a", role: "authenticated" });
  expect(() => requireActor(source.claims, actor)).not.toThrow();
  await clock.advance(850_000);
  expect(await source.token()).not.toBe(first);
});

test("the service role key says so in one log line and is never renewed", async () => {
  const lines: string[] = [];
  const access = {
    url: "http://x",
    apiKey: "k",
    credential: { kind: "service-role", key: "sb_secret_1" },
  } as const;
  const log = (level: string, message: string): void => void lines.push(`${level} ${message}`);
  const source = openTokenSource(
    access,
    { tenantId: "t", agentId: "a" },
    { clock: new TestClock(), log, timeoutMs: 1000 },
  );
  expect(await source.token()).toBe("sb_secret_1");
  expect(source.renewAtMs).toBe(Infinity);
  expect(lines).toEqual(["info the service role key is in use: row level security is bypassed"]);
});

test("a token for somebody else, for no tenant or for nobody is refused", () => {
  const claims = (value: object): ReturnType<typeof readClaims> =>
    readClaims(`h.${btoa(JSON.stringify(value))}.s`);
  const actor = { tenantId: "t", agentId: "a" };
  const member = (tenant_id?: string, agent_id?: string): object => ({
    role: "authenticated",
    sub: "u",
    app_metadata: { tenant_id, agent_id },
  });
  expect(() => requireActor(claims(member("t", "a")), actor)).not.toThrow();
  expect(() => requireActor(claims(member("t")), { tenantId: "t", agentId: "user.u" })).not.toThrow();
  expect(() => requireActor(claims({ role: "service_role" }), actor)).not.toThrow();
  expect(() => requireActor(claims(member("other", "a")), actor)).toThrow(
    /for a of tenant other, not for a of tenant t/,
  );
  expect(() => requireActor(claims(member("t")), actor)).toThrow(/for user.u of tenant t/);
  expect(() => requireActor(claims(member()), actor)).toThrow(/no app_metadata.tenant_id/);
  expect(() => requireActor(claims({ role: "anon" }), actor)).toThrow(/anon key/);
});
