import { uuidFromBytes } from "../runtime/ids.ts";

// A name space of our own (RFC 9562, 5.5), so that no other derived UUID collides with an agent's.
const namespace = "agent-federation/agent-subject/v1";

/** The `sub` of an agent's token: a UUID that is the same for the same tenant and agent, everywhere and always. */
export async function agentSubject(tenantId: string, agentId: string): Promise<string> {
  const name = JSON.stringify([namespace, tenantId, agentId]);
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(name));
  return uuidFromBytes(new Uint8Array(digest), 8);
}
