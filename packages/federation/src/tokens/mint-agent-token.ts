import { importJWK, SignJWT, type JWK } from "jose";
import { requireId } from "../config/ids.ts";
import { FederationError, toError } from "../runtime/errors.ts";
import { agentSubject } from "./agent-subject.ts";

export interface MintAgentTokenOptions {
  /** The project's JWT secret (HS256). Either this or `jwk`. */
  readonly secret?: string;
  /** A private signing key imported into the project (ES256 or RS256), with its `kid`. Either this or `secret`. */
  readonly jwk?: JWK;
  readonly tenantId: string;
  readonly agentId: string;
  /** How long the token is good for. Default 3600. */
  readonly ttlSeconds?: number;
  /** Seconds since 1970 at which the token is issued. Default: now. */
  readonly issuedAtSeconds?: number;
}

/**
 * A token with which an agent speaks for itself: role `authenticated`, its tenant and its id in `app_metadata`, a derived `sub`, an
 * expiry. For servers: whoever holds the secret can be anybody.
 */
export async function mintAgentToken(options: MintAgentTokenOptions): Promise<string> {
  const tenantId = requireId(options.tenantId, "mintAgentToken tenantId");
  const agentId = requireId(options.agentId, "mintAgentToken agentId");
  const ttlSeconds = options.ttlSeconds ?? 3600;
  if (!Number.isInteger(ttlSeconds) || ttlSeconds < 1) {
    throw new FederationError(
      "invalid_argument",
      `mintAgentToken ttlSeconds: expected a whole number above 0, got ${ttlSeconds}`,
    );
  }
  const key = await signingKey(options);
  const issuedAt = options.issuedAtSeconds ?? Math.floor(Date.now() / 1000);
  return new SignJWT({ role: "authenticated", app_metadata: { tenant_id: tenantId, agent_id: agentId } })
    .setProtectedHeader(key.header)
    .setSubject(await agentSubject(tenantId, agentId))
    .setAudience("authenticated")
    .setIssuedAt(issuedAt)
    .setExpirationTime(issuedAt + ttlSeconds)
    .sign(key.material);
}

type Signer = Parameters<SignJWT["sign"]>[0];

interface SigningKey {
  readonly header: { readonly alg: string; readonly typ: "JWT"; readonly kid?: string };
  readonly material: Signer;
}

async function signingKey({ secret, jwk }: MintAgentTokenOptions): Promise<SigningKey> {
  if (secret !== undefined && secret !== "" && jwk === undefined) {
    return { header: { alg: "HS256", typ: "JWT" }, material: new TextEncoder().encode(secret) };
  }
  if (jwk === undefined || secret !== undefined) {
    throw new FederationError("invalid_argument", "mintAgentToken: expected either secret or jwk");
  }
  const alg = jwk.alg ?? (jwk.kty === "EC" ? "ES256" : jwk.kty === "RSA" ? "RS256" : "HS256");
  try {
    const material = await importJWK(jwk, alg);
    return { header: { alg, typ: "JWT", ...(jwk.kid === undefined ? {} : { kid: jwk.kid }) }, material };
  } catch (error) {
    const message = `mintAgentToken: the jwk is not a private signing key: ${toError(error).message}`;
    throw new FederationError("invalid_argument", message, { cause: error });
  }
}
