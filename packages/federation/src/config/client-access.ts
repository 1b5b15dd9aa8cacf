import type { SupabaseClient } from "@supabase/supabase-js";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import { keyKind, type AccessOptions, type AccessTokenCallback } from "./access.ts";

export interface ClientAccess {
  readonly options: AccessOptions;
  readonly fetch: typeof fetch | undefined;
}

/**
 * URL, key, token and fetch of a caller's own client. Its token may come from an accessToken option, from a signed-in user, or from
 * an Authorization header, which supabase-js itself would never show to Realtime. Throws FederationError "credentials" on anything
 * that is not a supabase-js client.
 */
export function accessOfClient(client: SupabaseClient): ClientAccess {
  // The fields are protected in the types and have these names in every 2.x release; each is checked before use.
  const fields: unknown = client;
  const url = isRecord(fields) ? stringField(fields, "supabaseUrl") : undefined;
  const key = isRecord(fields) ? stringField(fields, "supabaseKey") : undefined;
  if (!isRecord(fields) || url === undefined || key === undefined) {
    throw new FederationError("credentials", "the client option is not a supabase-js client of version 2", {
      remedy:
        "Pass what createClient() of @supabase/supabase-js returned, or url, anonKey and accessToken instead",
    });
  }
  const settings = isRecord(fields["settings"]) ? fields["settings"] : {};
  const global = isRecord(settings["global"]) ? settings["global"] : {};
  const accessToken = tokenOf(client, fields, global);
  const isSecret = keyKind(key) === "secret";
  return {
    options: {
      url,
      ...(isSecret ? { serviceRoleKey: key } : { anonKey: key }),
      ...(accessToken === undefined ? {} : { accessToken }),
    },
    fetch: typeof global["fetch"] === "function" ? (global["fetch"] as typeof fetch) : undefined, // a fetch by the option's own type
  };
}

function tokenOf(
  client: SupabaseClient,
  fields: Readonly<Record<string, unknown>>,
  global: Readonly<Record<string, unknown>>,
): AccessTokenCallback | string | undefined {
  const { accessToken } = fields;
  if (typeof accessToken === "function") return accessToken as AccessTokenCallback; // what createClient was given
  const bearer = bearerOf(global["headers"]);
  if (bearer !== undefined && keyKind(bearer) !== "public") return bearer;
  if (keyKind(stringField(fields, "supabaseKey") ?? "") === "secret") return undefined;
  return async () => {
    const { data, error } = await client.auth.getSession();
    if (error !== null) throw error;
    if (data.session !== null) return data.session.access_token;
    throw new FederationError("credentials", "nobody is signed in on the client that was passed", {
      remedy:
        "Sign in first, or pass an accessToken callback, or createClient with an Authorization header or accessToken option",
    });
  };
}

function bearerOf(headers: unknown): string | undefined {
  if (!isRecord(headers)) return undefined;
  for (const [name, value] of Object.entries(headers)) {
    if (name.toLowerCase() !== "authorization" || typeof value !== "string") continue;
    return /^bearer\s+(\S+)$/i.exec(value)?.[1];
  }
  return undefined;
}
