import type { JSONWebKeySet } from "jose";
import { SignJWT } from "jose";
import { createHmac, timingSafeEqual } from "node:crypto";
import { LocalSupabaseError } from "../start-error.ts";
import type { Credential, Keyring, Verified } from "./credential.ts";
import { checkToken } from "./check-token.ts";
import { VerifiedCache } from "./verified-cache.ts";

export interface KeyringOptions {
  /** Signs and verifies HS256 tokens. At least 32 characters, as PostgREST demands. */
  readonly jwtSecret: string;
  /** Public keys of somebody else who signs tokens (ES256, RS256, EdDSA), or further secrets (`oct`) by their `kid`. */
  readonly jwks?: JSONWebKeySet | undefined;
  /** Milliseconds since 1970. */
  readonly now?: (() => number) | undefined;
}

const legacyKeyYears = 10;
const mintedSeconds = 3_600;

/**
 * The project's keys, all derived from the secret: the same secret gives the same keys (the legacy ones until the year
 * ends; those of earlier years stay valid).
 */
export async function createKeyring(options: KeyringOptions): Promise<Keyring> {
  const { jwtSecret, now = Date.now } = options;
  if (jwtSecret.length < 32) {
    throw new LocalSupabaseError(
      "option",
      `jwtSecret: expected at least 32 characters, got ${jwtSecret.length}`,
      {
        remedy: "Use a longer secret, for example the output of `openssl rand -hex 32`.",
      },
    );
  }
  const secret = new TextEncoder().encode(jwtSecret);
  const sign = (claims: Readonly<Record<string, unknown>>): Promise<string> =>
    new SignJWT({ ...claims }).setProtectedHeader({ alg: "HS256", typ: "JWT" }).sign(secret);

  const year = new Date(now()).getUTCFullYear();
  const legacy = (role: string): Promise<string> =>
    sign({ iss: "supabase", role, iat: startOfYear(year), exp: startOfYear(year + legacyKeyYears) });
  const publishableKey = opaqueKey(jwtSecret, "publishable");
  const secretKey = opaqueKey(jwtSecret, "secret");
  const cache = new VerifiedCache();

  const verify = async (given: string): Promise<Verified> => {
    const token = normalized(given);
    if (token === undefined) return { problem: { kind: "malformed" } };
    if (token.startsWith("sb_")) {
      if (isSame(token, publishableKey)) return { credential: opaqueCredential("anon") };
      if (isSame(token, secretKey)) return { credential: opaqueCredential("service_role") };
      return { problem: { kind: "unknown-key" } };
    }
    const known = cache.get(token, now());
    if (known !== undefined) return { credential: known };
    const verified = await checkToken(token, { secret, jwks: options.jwks, now });
    if ("credential" in verified) cache.add(token, verified.credential);
    return verified;
  };

  return {
    anonKey: await legacy("anon"),
    serviceRoleKey: await legacy("service_role"),
    publishableKey,
    secretKey,
    jwtSecret,
    verify,
    mint: (claims) => {
      const nowSeconds = Math.floor(now() / 1000);
      return sign({ role: "authenticated", iat: nowSeconds, exp: nowSeconds + mintedSeconds, ...claims });
    },
  };
}

function startOfYear(year: number): number {
  return Date.UTC(year, 0, 1) / 1000;
}

/** The shape of hosted keys: 22 characters, an underscore, 8 more. */
function opaqueKey(jwtSecret: string, kind: "publishable" | "secret"): string {
  const derived = createHmac("sha256", jwtSecret).update(`sb_${kind}`).digest("base64url");
  return `sb_${kind}_${derived.slice(0, 22)}_${derived.slice(22, 30)}`;
}

function opaqueCredential(role: string): Credential {
  return { role, claims: { role }, expiresAtSeconds: undefined };
}

/** Percent-decoded, without any whitespace: keys are pasted. */
function normalized(given: string): string | undefined {
  try {
    return decodeURIComponent(given).replaceAll(/\s/g, "");
  } catch {
    return undefined;
  }
}

function isSame(one: string, other: string): boolean {
  const a = Buffer.from(one);
  const b = Buffer.from(other);
  return a.length === b.length && timingSafeEqual(a, b);
}
