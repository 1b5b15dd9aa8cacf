import { createLocalJWKSet, exportJWK, generateKeyPair, jwtVerify } from "jose";
import { expect, test } from "vitest";
import { agentSubject } from "./agent-subject.ts";
import { readClaims } from "./claims.ts";
import { mintAgentToken } from "./mint-agent-token.ts";

const secret = "a secret of at least thirty-two characters";
const agent = { tenantId: "acme", agentId: "agent-1" };

test("a minted token verifies with the secret and names tenant, agent and a derived subject", async () => {
  const token = await mintAgentToken({ secret, ...agent, ttlSeconds: 60 });
  const { payload, protectedHeader } = await jwtVerify(token, new TextEncoder().encode(secret), {
    audience: "authenticated",
  });
  expect(protectedHeader.alg).toBe("HS256");
  expect(payload).toMatchObject({
    role: "authenticated",
    app_metadata: { tenant_id: "acme", agent_id: "agent-1" },
  });
  expect(payload.sub).toBe(await agentSubject("acme", "agent-1"));
  expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(60);
});

test("a token can be signed with an imported key", async () => {
  const { privateKey, publicKey } = await generateKeyPair("ES256", { extractable: true });
  const jwk = { ...(await exportJWK(privateKey)), kid: "key-1", alg: "ES256" };
  const token = await mintAgentToken({ jwk, ...agent });
  const keys = createLocalJWKSet({ keys: [{ ...(await exportJWK(publicKey)), kid: "key-1", alg: "ES256" }] });
  const { protectedHeader } = await jwtVerify(token, keys);
  expect(protectedHeader).toMatchObject({ alg: "ES256", kid: "key-1" });
});

test("minting asks for one key, proper ids and a positive life", async () => {
  await expect(mintAgentToken({ ...agent })).rejects.toThrow("either secret or jwk");
  await expect(mintAgentToken({ secret: "", ...agent })).rejects.toThrow("either secret or jwk");
  await expect(mintAgentToken({ secret, tenantId: "a b", agentId: "x" })).rejects.toThrow("tenantId");
  await expect(mintAgentToken({ secret, ...agent, ttlSeconds: 0 })).rejects.toThrow("ttlSeconds");
  await expect(mintAgentToken({ jwk: { kty: "EC" }, ...agent })).rejects.toThrow("not a private signing key");
});

test("the subject is a UUID, the same for the same agent, another for any other", async () => {
  const subject = await agentSubject("acme", "agent-1");
  expect(subject).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(await agentSubject("acme", "agent-1")).toBe(subject);
  const others = await Promise.all([
    agentSubject("acme", "agent-2"),
    agentSubject("other", "agent-1"),
    agentSubject("acmeagent", "-1"),
  ]);
  expect(new Set([subject, ...others]).size).toBe(4);
});

test("claims are read from a token and from nothing else", async () => {
  const token = await mintAgentToken({ secret, ...agent, ttlSeconds: 60, issuedAtSeconds: 1000 });
  expect(readClaims(token)).toEqual({
    role: "authenticated",
    subject: await agentSubject("acme", "agent-1"),
    tenantId: "acme",
    agentId: "agent-1",
    issuedAtMs: 1_000_000,
    expiresAtMs: 1_060_000,
  });
  const user = `x.${btoa(JSON.stringify({ sub: "u1", app_metadata: { tenant_id: "acme" } }))}.y`;
  expect(readClaims(user)?.agentId).toBe("user.u1");
  for (const other of ["", "sb_secret_abc", "a.b.c", "x.e30", `x.${btoa("[]")}.y`])
    expect(readClaims(other)).toBeUndefined();
});
