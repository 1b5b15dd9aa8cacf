import { resolveAccess, type AccessOptions } from "./config/access.ts";
import { isBrowser, readEnvironment } from "./config/environment.ts";
import { requireId } from "./config/ids.ts";
import { openConnection } from "./connection/connection.ts";
import { systemClock } from "./runtime/clock.ts";
import { FederationError } from "./runtime/errors.ts";
import { isRecord } from "./runtime/json.ts";
import { silentLog, type Log } from "./runtime/log.ts";

export interface AdministrationOptions extends AccessOptions {
  /** Milliseconds that the call may take. Default 60000: a tenant may be large. */
  readonly timeoutMs?: number;
  readonly log?: Log;
}

/** How many rows went, by table. */
export type DeletedRows = Readonly<Record<string, number>>;

/** Removes every trace of an agent. Needs the service role key. Resolves to the number of rows removed from each table. */
export function deleteAgent(
  agentId: string,
  tenantId: string,
  options: AdministrationOptions = {},
): Promise<DeletedRows> {
  const agent = requireId(agentId, "deleteAgent agentId");
  const tenant = requireId(tenantId, "deleteAgent tenantId");
  return callAsService("delete_agent", { agent, tenant }, options);
}

/** Removes every trace of a tenant. Needs the service role key. Resolves to the number of rows removed from each table. */
export function deleteTenant(tenantId: string, options: AdministrationOptions = {}): Promise<DeletedRows> {
  return callAsService("delete_tenant", { tenant: requireId(tenantId, "deleteTenant tenantId") }, options);
}

async function callAsService(
  name: string,
  args: Readonly<Record<string, string>>,
  options: AdministrationOptions,
): Promise<DeletedRows> {
  const { url, serviceRoleKey, timeoutMs = 60_000, log = silentLog } = options;
  const environment = readEnvironment();
  const key = serviceRoleKey ?? environment["SUPABASE_SERVICE_ROLE_KEY"];
  if (key === undefined) {
    throw new FederationError("credentials", `${name}: no service role key`, {
      remedy: "Set SUPABASE_SERVICE_ROLE_KEY on a server, or pass serviceRoleKey",
    });
  }
  const { SUPABASE_URL } = environment;
  const project = SUPABASE_URL === undefined ? {} : { SUPABASE_URL };
  const connection = await openConnection({
    // Only the service role key: no other credential of the environment may do this.
    access: resolveAccess({ url, serviceRoleKey: key }, project, isBrowser()),
    actor: { tenantId: args["tenant"] ?? "default", agentId: "service" },
    requestTimeoutMs: timeoutMs,
    socketHeartbeatMs: 25_000,
    clock: systemClock,
    random: Math.random,
    log,
  });
  try {
    const rows = await connection.callPlain(name, args, { retry: false });
    if (!isRecord(rows)) throw new FederationError("protocol", `${name}: the answer is not an object`);
    return Object.fromEntries(
      Object.entries(rows).filter((entry): entry is [string, number] => typeof entry[1] === "number"),
    );
  } finally {
    await connection.close();
  }
}
