import fc from "fast-check";
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import { beforeEach, describe, expect, test } from "vitest";
import { createKeyring } from "./create-keyring.ts";
import type { Keyring } from "./credential.ts";

const jwtSecret = "a-secret-of-more-than-thirty-two-characters";
const nowSeconds = 1_800_000_000;
let clockMs: number;
let keyring: Keyring;
beforeEach(async () => {
  clockMs = nowSeconds * 1000;
  keyring = await createKeyring({ jwtSecret, now: () => clockMs });
});

function sign(claims: Record<string, unknown>, alg = "HS256", secret = jwtSecret): Promise<string> {
  return new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));
}
const later = nowSeconds + 60;

describe("keys", () => {
  test("the four keys mean anon and service_role", async () => {
    expect(await keyring.verify(keyring.anonKey)).toMatchObject({ credential: { role: "anon" } });
    expect(await keyring.verify(keyring.serviceRoleKey)).toMatchObject({
      credential: { role: "service_role" },
    });
    expect(await keyring.verify(keyring.publishableKey)).toEqual({
      credential: { role: "anon", claims: { role: "anon" }, expiresAtSeconds: undefined },
    });
    expect(await keyring.verify(keyring.secretKey)).toMatchObject({ credential: { role: "service_role" } });
  });

  test("the same secret gives the same keys, another secret others", async () => {
    clockMs += 1000;
    const same = await createKeyring({ jwtSecret, now: () => clockMs });
    const other = await createKeyring({ jwtSecret: `${jwtSecret}!`, now: () => clockMs });
    for (const key of ["anonKey", "serviceRoleKey", "publishableKey", "secretKey"] as const) {
      expect(same[key]).toBe(keyring[key]);
      expect(other[key]).not.toBe(keyring[key]);
      expect(await other.verify(keyring[key])).toHaveProperty("problem");
    }
  });

  test("keys of an earlier year stay valid", async () => {
    const muchLater = await createKeyring({ jwtSecret, now: () => clockMs + 5 * 365 * 86_400_000 });
    expect(muchLater.anonKey).not.toBe(keyring.anonKey);
    expect(await muchLater.verify(keyring.anonKey)).toHaveProperty("credential");
  });

  test("keys look like hosted ones", () => {
    expect(keyring.publishableKey).toMatch(/^sb_publishable_[\w-]{22}_[\w-]{8}$/);
    expect(keyring.secretKey).toMatch(/^sb_secret_[\w-]{22}_[\w-]{8}$/);
    expect(keyring.anonKey.split(".")).toHaveLength(3);
  });

  test("an invented opaque key is unknown", async () => {
    expect(await keyring.verify("sb_secret_x")).toEqual({ problem: { kind: "unknown-key" } });
    expect(await keyring.verify(`${keyring.secretKey}x`)).toEqual({ problem: { kind: "unknown-key" } });
  });

  test("a short secret is refused with the remedy", async () => {
    await expect(createKeyring({ jwtSecret: "short" })).rejects.toMatchObject({ code: "option" });
  });
});

describe("tokens", () => {
  test("a minted token is an authenticated user's for an hour", async () => {
    const token = await keyring.mint({ sub: "someone" });
    expect(await keyring.verify(token)).toEqual({
      credential: {
        role: "authenticated",
        claims: { role: "authenticated", sub: "someone", iat: nowSeconds, exp: nowSeconds + 3600 },
        expiresAtSeconds: nowSeconds + 3600,
      },
    });
  });

  test.each(["HS256", "HS384", "HS512"])("%s with the secret is accepted", async (alg) => {
    expect(await keyring.verify(await sign({ role: "x", exp: later }, alg))).toMatchObject({
      credential: { role: "x" },
    });
  });

  test("whitespace and percent encoding do no harm", async () => {
    const token = await sign({ role: "x", exp: later });
    expect(await keyring.verify(` ${token.slice(0, 20)}\n${token.slice(20)}%20`)).toHaveProperty(
      "credential",
    );
  });

  test.each([
    ["empty", "", "malformed"],
    ["two parts", "a.b", "malformed"],
    ["no JSON", "YQ.YQ.YQ", "malformed"],
    ["a broken percent sign", "%E0%A4%A", "malformed"],
    ["a JSON array as claims", `${base64({ alg: "HS256" })}.${base64([])}.x`, "malformed"],
    ["alg none", `${base64({ alg: "none" })}.${base64({ role: "service_role", exp: later })}.`, "signer"],
    [
      "an algorithm named like a method",
      `${base64({ alg: "toString" })}.${base64({ role: "x", exp: later })}.x`,
      "signer",
    ],
    [
      "no signature",
      `${base64({ alg: "HS256" })}.${base64({ role: "service_role", exp: later })}.`,
      "signature",
    ],
  ])("%s is refused", async (_name, token, kind) => {
    expect(await keyring.verify(token)).toMatchObject({ problem: { kind } });
  });

  test("a token of another secret is refused", async () => {
    const forged = await sign({ role: "service_role", exp: later }, "HS256", `${jwtSecret}!`);
    expect(await keyring.verify(forged)).toEqual({ problem: { kind: "signature" } });
  });

  test("a token ends at its exp, also when it was seen before", async () => {
    const token = await sign({ role: "x", exp: later });
    expect(await keyring.verify(token)).toHaveProperty("credential");
    clockMs = later * 1000 - 1;
    expect(await keyring.verify(token)).toHaveProperty("credential");
    clockMs = (later + 5) * 1000;
    expect(await keyring.verify(token)).toEqual({ problem: { kind: "expired", secondsAgo: 5 } });
  });

  test.each([
    ["no role", { exp: later }],
    ["no exp", { role: "x" }],
    ["exp as a string", { role: "x", exp: String(later) }],
    ["iat as a string", { role: "x", exp: later, iat: "now" }],
  ])("%s is a problem of its claims", async (_name, claims) => {
    expect(await keyring.verify(await sign(claims))).toEqual({ problem: { kind: "claims", claims } });
  });

  test("nbf in the future is not yet valid, half a minute is forgiven", async () => {
    const soon = await sign({ role: "x", exp: later, nbf: nowSeconds + 30 });
    const late = await sign({ role: "x", exp: later, nbf: nowSeconds + 31 });
    expect(await keyring.verify(soon)).toHaveProperty("credential");
    expect(await keyring.verify(late)).toEqual({ problem: { kind: "not-yet-valid" } });
  });

  test("no text makes verify reject", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string(),
          fc.array(fc.base64String(), { maxLength: 4 }).map((p) => p.join(".")),
        ),
        async (text) => {
          expect(await keyring.verify(text)).toHaveProperty("problem");
        },
      ),
    );
  });
});

describe("a key set", () => {
  test.each(["ES256", "RS256", "EdDSA"])("%s is checked with the key its kid names", async (alg) => {
    const ours = await keyPair(alg, "ours");
    const others = await keyPair(alg, "others");
    const withSet = await createKeyring({
      jwtSecret,
      jwks: { keys: [others.jwk, ours.jwk] },
      now: () => clockMs,
    });
    const signed = (kid: string | undefined): Promise<string> =>
      new SignJWT({ role: "x", exp: later })
        .setProtectedHeader({ alg, ...(kid === undefined ? {} : { kid }) })
        .sign(ours.privateKey);
    expect(await withSet.verify(await signed("ours"))).toHaveProperty("credential");
    expect(await withSet.verify(await signed(undefined))).toHaveProperty("credential");
    expect(await withSet.verify(await signed("others"))).toEqual({ problem: { kind: "signature" } });
    expect(await withSet.verify(await signed("third"))).toEqual({
      problem: { kind: "signer", keyId: "third" },
    });
    expect(await keyring.verify(await signed("ours"))).toEqual({
      problem: { kind: "signer", keyId: "ours" },
    });
  });

  test("a public key is no HMAC secret", async () => {
    const { jwk } = await keyPair("ES256", "ours");
    const withSet = await createKeyring({ jwtSecret, jwks: { keys: [jwk] }, now: () => clockMs });
    const confused = await new SignJWT({ role: "service_role", exp: later })
      .setProtectedHeader({ alg: "HS256", kid: "ours" })
      .sign(new TextEncoder().encode(JSON.stringify(jwk)));
    expect(await withSet.verify(confused)).toEqual({ problem: { kind: "signature" } });
  });
});

async function keyPair(alg: string, kid: string): Promise<{ privateKey: CryptoKey; jwk: JWK }> {
  const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid, alg } };
}

function base64(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}
