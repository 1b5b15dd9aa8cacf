import { compactVerify, errors, importJWK, type CryptoKey, type JSONWebKeySet } from "jose";
import type { Verified } from "./credential.ts";
import { parseToken, type ParsedToken } from "./parse-token.ts";

/** What tokens are checked with. */
export interface TokenKeys {
  readonly secret: Uint8Array;
  readonly jwks: JSONWebKeySet | undefined;
  readonly now: () => number;
}

const keyTypes: Readonly<Record<string, string>> = {
  HS256: "oct",
  HS384: "oct",
  HS512: "oct",
  RS256: "RSA",
  RS384: "RSA",
  RS512: "RSA",
  PS256: "RSA",
  PS384: "RSA",
  PS512: "RSA",
  ES256: "EC",
  ES384: "EC",
  ES512: "EC",
  EdDSA: "OKP",
  Ed25519: "OKP",
};

/** How far a peer's clock may be ahead before `nbf` and `iat` are held against its token; PostgREST's allowance. */
const clockSkewSeconds = 30;

/** Checks the signature, then the times, then the claims that every token must have. */
export async function checkToken(token: string, keys: TokenKeys): Promise<Verified> {
  const parsed = parseToken(token);
  if (parsed === undefined) return { problem: { kind: "malformed" } };
  const { algorithm, keyId, claims } = parsed;
  const candidates = await keysFor(parsed, keys);
  if (candidates.length === 0) return { problem: { kind: "signer", keyId } };
  for (const key of candidates) {
    if (await isSignedBy(token, key, algorithm)) return checkClaims(claims, keys.now() / 1000);
  }
  return { problem: { kind: "signature" } };
}

async function isSignedBy(token: string, key: CryptoKey | Uint8Array, algorithm: string): Promise<boolean> {
  try {
    await compactVerify(token, key, { algorithms: [algorithm] });
    return true;
  } catch (error) {
    // A TypeError: the key does not fit the algorithm (an EC key of another curve).
    if (error instanceof errors.JOSEError || error instanceof TypeError) return false;
    throw error;
  }
}

/** By `kid` where the token names one; a secret that the key set does not have is the project's. */
async function keysFor(token: ParsedToken, keys: TokenKeys): Promise<(CryptoKey | Uint8Array)[]> {
  const { algorithm, keyId } = token;
  const keyType = Object.hasOwn(keyTypes, algorithm) ? keyTypes[algorithm] : undefined;
  if (keyType === undefined) return [];
  const fitting = (keys.jwks?.keys ?? []).filter((jwk) => {
    if (jwk.kty !== keyType || (jwk.alg !== undefined && jwk.alg !== algorithm)) return false;
    return keyId === undefined ? keyType !== "oct" : jwk.kid === keyId;
  });
  if (fitting.length === 0 && keyType === "oct") return [keys.secret];
  return await Promise.all(fitting.map((jwk) => importJWK(jwk, algorithm)));
}

function checkClaims(claims: Readonly<Record<string, unknown>>, nowSeconds: number): Verified {
  const { role, exp, nbf, iat } = claims;
  if (typeof exp === "number" && Math.round(exp) <= nowSeconds) {
    return { problem: { kind: "expired", secondsAgo: Math.floor(nowSeconds - exp) } };
  }
  for (const start of [nbf, iat]) {
    if (typeof start === "number" && start > nowSeconds + clockSkewSeconds)
      return { problem: { kind: "not-yet-valid" } };
  }
  const isComplete =
    typeof role === "string" && role !== "" && typeof exp === "number" && Number.isFinite(exp);
  if (!isComplete || (iat !== undefined && typeof iat !== "number"))
    return { problem: { kind: "claims", claims } };
  return { credential: { role, claims, expiresAtSeconds: Math.round(exp) } };
}
