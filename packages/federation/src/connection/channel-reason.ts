import { FederationError, type FederationErrorCode } from "../runtime/errors.ts";
import type { EndKind } from "./channel-state.ts";

/** What a server's text about a channel means. Pure. There is no code beside the words before the colon. */
export function classifyReason(text: string): EndKind {
  if (/token has expired/i.test(text)) return "expired";
  if (refusals.some((pattern) => pattern.test(text))) return "refused";
  if (limits.some((pattern) => pattern.test(text))) return "limited";
  return "transient";
}

/** The server's text as an error that says which channel it was about. */
export function reasonError(topic: string, text: string, cause?: unknown): FederationError {
  const kind = classifyReason(text);
  const remedy = remedies[kind];
  return new FederationError(codes[kind], `channel ${topic}: ${text}`, {
    ...(cause === undefined ? {} : { cause }),
    ...(remedy === undefined ? {} : { remedy }),
  });
}

// Source: the reasons of failed joins and the system messages before a close, as Realtime v2.129.8 words them.
const refusals = [
  /^Unauthorized\b/,
  /^PrivateOnly\b/,
  /^MalformedJWT\b/,
  /^JwtSign(ature|er)Error\b/,
  /^InvalidJWTToken\b/,
  /^TenantNotFound\b/,
  /^RealtimeDisabledForTenant\b/,
  /^You (do not|no longer) have permission/,
  /^The token provided is not a valid JWT/,
  /^:signature_error/,
  /^Fields `role` and `exp` are required/,
];

const limits = [
  /Too many/i,
  /rate limit/i,
  /^(Connection|ClientJoin|Channel)RateLimitReached\b/,
  /^Track message size exceeded/,
];

const codes: Readonly<Record<EndKind, FederationErrorCode>> = {
  transient: "unreachable",
  limited: "busy",
  expired: "unauthorized",
  refused: "unauthorized",
};

const remedies: Readonly<Record<EndKind, string | undefined>> = {
  transient: undefined,
  limited: undefined,
  expired: undefined,
  refused: "Look at the token and at whether the migrations (policies on realtime.messages) were applied",
};
