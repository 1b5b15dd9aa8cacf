import type { Connection } from "../connection/connection.ts";
import { errorFromRest } from "../connection/rest-error.ts";

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
