import { isRecord, stringField } from "../runtime/json.ts";

/** What a token says of its bearer, as far as it concerns us. Read, not verified: the server verifies. */
export interface TokenClaims {
  readonly role: string | undefined;
  readonly subject: string | undefined;
  readonly tenantId: string | undefined;
  /** Who the bearer acts as: `app_metadata.agent_id`, else `user.<sub>`. */
  readonly agentId: string | undefined;
  /** Milliseconds since 1970; undefined where the token does not say. */
  readonly expiresAtMs: number | undefined;
  readonly issuedAtMs: number | undefined;
}

/** Undefined for what is not a JWT: an opaque key, any other text. */
export function readClaims(token: string): TokenClaims | undefined {
  const body = token.split(".");
  if (body.length !== 3 || body[1] === undefined) return undefined;
  const claims = parseBase64Json(body[1]);
  if (!isRecord(claims)) return undefined;
  const metadata = isRecord(claims["app_metadata"]) ? claims["app_metadata"] : {};
  const subject = stringField(claims, "sub");
  return {
    role: stringField(claims, "role"),
    subject,
    tenantId: stringField(metadata, "tenant_id"),
    agentId: stringField(metadata, "agent_id") ?? (subject === undefined ? undefined : `user.${subject}`),
    expiresAtMs: secondsToMs(claims["exp"]),
    issuedAtMs: secondsToMs(claims["iat"]),
  };
}

function secondsToMs(value: unknown): number | undefined {
  return typeof value === "number" && Number.isFinite(value) ? value * 1000 : undefined;
}

function parseBase64Json(text: string): unknown {
  try {
    const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
    const bytes = Uint8Array.from(binary, (char) => char.charCodeAt(0));
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  } catch {
    return undefined; // not base64 or not JSON: not a JWT
  }
}
