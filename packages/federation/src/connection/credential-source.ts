import type { Access } from "../config/access.ts";
import type { Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import type { Log } from "../runtime/log.ts";
import type { TokenClaims } from "../tokens/claims.ts";
import { mintAgentToken } from "../tokens/mint-agent-token.ts";
import { TokenSource } from "./token-source.ts";

/** Whom a token speaks for. */
export interface Actor {
  readonly tenantId: string;
  readonly agentId: string;
}

export interface CredentialParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly timeoutMs: number;
}

// Long enough that renewing costs nothing, short enough that a stolen one is soon worth nothing.
const mintedTtlSeconds = 900;

/** The tokens of `actor` under `access`: from the callback, fixed, minted here, or the service role key itself. */
export function openTokenSource(access: Access, actor: Actor, parts: CredentialParts): TokenSource {
  const { credential } = access;
  const { clock, log, timeoutMs } = parts;
  if (credential.kind === "service-role") {
    log("info", "the service role key is in use: row level security is bypassed", { agentId: actor.agentId });
  }
  const provide = async (): Promise<string> => {
    switch (credential.kind) {
      case "callback": {
        const token = await credential.accessToken();
        if (typeof token === "string" && token !== "") return token;
        throw new FederationError(
          "credentials",
          `access token: the accessToken callback returned ${String(token)}`,
        );
      }
      case "token":
        return credential.token;
      case "secret":
        return mintAgentToken({
          secret: credential.secret,
          tenantId: actor.tenantId,
          agentId: actor.agentId,
          ttlSeconds: mintedTtlSeconds,
          issuedAtSeconds: Math.floor(clock.now() / 1000),
        });
      case "service-role":
        return credential.key;
    }
  };
  return new TokenSource({ provide, clock, log, timeoutMs });
}

/**
 * Throws FederationError when the token is for somebody else than `actor`: "unauthorized" for another tenant or agent, "credentials"
 * for a token that is no agent's. The server would refuse as well, later and with less to say. An opaque key passes.
 */
export function requireActor(claims: TokenClaims | undefined, actor: Actor): void {
  if (claims === undefined || claims.role === "service_role") return;
  if (claims.role === "anon") {
    throw new FederationError("credentials", "the access token is the anon key, which names no agent", {
      remedy: tokenRemedy(actor),
    });
  }
  const { tenantId, agentId } = claims;
  if (tenantId === undefined) {
    throw new FederationError("credentials", "the access token has no app_metadata.tenant_id", {
      remedy: tokenRemedy(actor),
    });
  }
  if (tenantId !== actor.tenantId || agentId !== actor.agentId) {
    const found = `${agentId ?? "nobody"} of tenant ${tenantId}`;
    throw new FederationError(
      "unauthorized",
      `the access token is for ${found}, not for ${actor.agentId} of tenant ${actor.tenantId}`,
      {
        remedy: tokenRemedy(actor),
      },
    );
  }
}

function tokenRemedy({ tenantId, agentId }: Actor): string {
  return `Use a token with app_metadata { tenant_id: ${JSON.stringify(tenantId)}, agent_id: ${JSON.stringify(agentId)} }, as mintAgentToken makes it`;
}
