import { FederationError, isFederationError } from "../runtime/errors.ts";
import { describe } from "../runtime/json.ts";
import type { Access } from "../config/access.ts";
import type { Connection } from "./connection.ts";
import { migrationRemedy } from "./rest-error.ts";

/** The schema this version of the library speaks to. */
export const schemaVersion = 7;

/**
 * Resolves when the project answers, takes key and token, and has the schema of this version. Otherwise rejects with the one of
 * "unreachable", "unauthorized", "schema_missing" and "schema_version" that it is, at once.
 */
export async function checkSchema(
  connection: Connection,
  access: Access,
  request: typeof fetch,
  signal: AbortSignal,
): Promise<void> {
  let version: unknown;
  try {
    version = await askVersion(connection, signal);
  } catch (error) {
    if (isFederationError(error, "unauthorized")) throw await whichIsRefused(error, access, request, signal);
    if (isFederationError(error, "unreachable")) {
      throw new FederationError("unreachable", `no Supabase answers at ${access.url}`, {
        cause: error,
        remedy: error.remedy ?? "Look at the URL",
      });
    }
    throw error;
  }
  if (version === schemaVersion) return;
  if (typeof version !== "number")
    throw new FederationError("protocol", `schema_version: expected a number, got ${describe(version)}`);
  throw new FederationError(
    "schema_version",
    `the project has schema ${version}, this library speaks to schema ${schemaVersion}`,
    {
      remedy:
        version < schemaVersion
          ? migrationRemedy
          : "Update the library: `npm install agent-federation@latest`",
    },
  );
}

/** A kept connection that the server closed in this very moment says nothing of whether anybody answers there: once more, at once. */
async function askVersion(connection: Connection, signal: AbortSignal): Promise<unknown> {
  const ask = (): Promise<unknown> => connection.callPlain("schema_version", {}, { retry: false, signal });
  return await ask().catch((error: unknown) => {
    if (!isFederationError(error, "unreachable") || signal.aborted) throw error;
    return ask();
  });
}

/** A 401 does not say whether it was the key or the token. The key alone may ask for the schema version. */
async function whichIsRefused(
  error: FederationError,
  access: Access,
  request: typeof fetch,
  signal: AbortSignal,
): Promise<FederationError> {
  const refuse = (what: string, remedy: string): FederationError =>
    new FederationError("unauthorized", `${access.url} refused ${what}`, { cause: error, remedy });
  const keyRemedy = "Look at SUPABASE_ANON_KEY and SUPABASE_URL: they must belong to one project";
  if (access.credential.kind === "service-role")
    return refuse("the service role key", keyRemedy.replace("ANON", "SERVICE_ROLE"));
  const init = {
    method: "POST",
    headers: { apikey: access.apiKey, "content-type": "application/json" },
    body: "{}",
    signal,
  };
  const answer = await request(`${access.url}/rest/v1/rpc/schema_version`, init).catch(() => undefined);
  await answer?.body?.cancel();
  if (answer?.status === 401) return refuse("the API key", keyRemedy);
  if (access.credential.kind === "secret")
    return refuse("the access token", "Look at SUPABASE_JWT_SECRET: it must be that of the project");
  return refuse("the access token", "It must be signed with the project's key and not have expired");
}
