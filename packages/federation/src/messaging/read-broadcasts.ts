import type { Connection } from "../connection/connection.ts";
import { errorFromRest } from "../connection/rest-error.ts";

/** Messages to this agent after a position that are not handled, or newer than `newestSeq`: those that another process handled. */
export function readOwnMessages(
  connection: Connection,
  { tenantId, agentId }: { readonly tenantId: string; readonly agentId: string },
  { afterSeq, newestSeq }: { readonly afterSeq: number; readonly newestSeq: number },
): Promise<unknown> {
  return connection.request("agent_messages", async (signal) => {
    const query = connection.client
      .from("agent_messages")
      .select("*")
      .eq("tenant_id", tenantId)
      .eq("to_agent", agentId)
      .is("dead_at", null)
      .or(`handled_at.is.null,seq.gt.${newestSeq}`)
      .or(`expires_at.is.null,expires_at.gt.${new Date().toISOString()}`);
    const { data, error, status } = await query.gt("seq", afterSeq).order("seq").abortSignal(signal);
    if (error === null) return data;
    const { code, message, hint } = error;
    throw errorFromRest("agent_messages", { status, code, message, hint });
  });
}

/** Messages to everybody after a position, oldest first, at most a page. Row level security and the tenant both limit it. */
export function readBroadcasts(connection: Connection, tenantId: string, afterSeq: number): Promise<unknown> {
  return connection.request("agent_messages", async (signal) => {
    const query = connection.client
      .from("agent_messages")
      .select("*")
      .eq("tenant_id", tenantId)
      .is("to_agent", null);
    const { data, error, status } = await query.gt("seq", afterSeq).order("seq").abortSignal(signal);
    if (error === null) return data;
    const { code, message, hint } = error;
    throw errorFromRest("agent_messages", { status, code, message, hint });
  });
}
