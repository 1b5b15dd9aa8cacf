import type { CredentialProblem } from "../../keys/credential.ts";

/*
 * What the server says when it says no. Clients match on these strings, so they are wire facts, kept in one place.
 */

const badJwt = "The token provided is not a valid JWT";
const noClaims = "Fields `role` and `exp` are required in JWT";
const badSignature = "Failed to validate JWT signature";

/** `response.reason` of a refused join. */
export const joinReasons = {
  unmatchedTopic: "unmatched topic",
  topicNameRequired: "TopicNameRequired: You must provide a topic name",
  unauthorized: (subTopic: string): string => `Unauthorized: ${noReadRight(subTopic)}`,
  policiesUnreadable: "Realtime was unable to connect to the project database",
  replayOnPublic: "UnableToReplayMessages: Replay is not allowed for public channels",
  replayParameters: "UnableToReplayMessages: Replay params are not valid",
  replayFailed: "UnableToReplayMessages: Realtime was unable to replay messages",
  privateOnly: "PrivateOnly: This project only allows private channels",
  tooManyUsers: "ConnectionRateLimitReached: Too many connected users",
  tooManyChannels: "ChannelRateLimitReached: Too many channels",
  joinRate: "ClientJoinRateLimitReached: Too many joins per second",
  rowsTimeout: (ms: number): string =>
    `PostgresChangesSubscribeTimeout: Timed out after ${ms}ms waiting for the postgres_changes subscription`,
  rowsRefused: (problem: string): string => `RealtimeDisabledForConfiguration: ${problem}`,
  privateNotBoolean: "InvalidJoinPayload: private must be a boolean",
  presenceKey: (key: string): string => `InvalidJoinPayload: presence key "${key}" is reserved`,
  unknown: (what: string): string => `UnknownErrorOnChannel: ${what}`,
} as const;

/** `message` of the `system` message that goes before a `phx_close`. */
export const closeTexts = {
  messageRate: "Too many messages per second",
  projectPresenceRate: "Too many presence messages per second",
  presenceRate: "Client presence rate limit exceeded",
  presenceSize: "Track message size exceeded",
  noReadRight: (subTopic: string): string => noReadRight(subTopic),
  policiesUnreadable: "Realtime was unable to connect to the project database",
  expired: (secondsAgo: number): string =>
    `Token has expired ${Math.max(0, Math.floor(secondsAgo))} seconds ago`,
} as const;

export const systemTexts = {
  replicationReady: "Replication connection established",
  disconnect: "Server requested disconnect",
} as const;

export function joinProblem(problem: CredentialProblem): string {
  switch (problem.kind) {
    case "missing":
    case "malformed":
    case "unknown-key":
      return `MalformedJWT: ${badJwt}`;
    case "signature":
      return `JwtSignatureError: ${badSignature}`;
    case "signer":
      return `JwtSignerError: ${noSigner(problem.keyId)}`;
    case "expired":
      return `InvalidJWTToken: ${closeTexts.expired(problem.secondsAgo)}`;
    case "not-yet-valid":
      return "InvalidJWTToken: Token is not valid yet";
    case "claims":
      return `InvalidJWTToken: ${hasBadExpiry(problem.claims) ? "Token expiration time is invalid" : noClaims}`;
  }
}

/** A refused token in an `access_token` push. The signature case really reads like this. */
export function refreshProblem(problem: CredentialProblem): string {
  switch (problem.kind) {
    case "missing":
    case "malformed":
    case "unknown-key":
      return badJwt;
    case "signature":
      return ":signature_error";
    case "signer":
      return noSigner(problem.keyId);
    case "expired":
      return closeTexts.expired(problem.secondsAgo);
    case "not-yet-valid":
      return "Token is not valid yet";
    case "claims":
      return noClaims;
  }
}

/** `error` of a refused upgrade; all of them are 401. */
export function upgradeProblem(problem: CredentialProblem): string {
  switch (problem.kind) {
    case "missing":
      return "API key is missing";
    case "malformed":
    case "unknown-key":
      return badJwt;
    case "signature":
      return badSignature;
    case "signer":
      return noSigner(problem.keyId);
    case "expired":
      return "Token has expired";
    case "not-yet-valid":
      return "Token is not valid yet";
    case "claims":
      return noClaims;
  }
}

function hasBadExpiry(claims: Readonly<Record<string, unknown>> = {}): boolean {
  return (
    typeof claims["role"] === "string" && claims["exp"] !== undefined && typeof claims["exp"] !== "number"
  );
}

function noReadRight(subTopic: string): string {
  return `You do not have permissions to read from this Channel topic: ${subTopic}`;
}

function noSigner(keyId: string | undefined): string {
  const key = keyId === undefined ? "" : ` for key ID (kid) "${keyId}"`;
  return `Failed to generate JWT signer${key}, check your JWT secret or JWKS configuration`;
}
