import type { PostgrestError } from "@supabase/supabase-js";
import { errorFromRest } from "../connection/rest-error.ts";
import type { FederationError } from "../runtime/errors.ts";

/** What the query builder answered in place of rows. */
export function restError(attempt: string, status: number, error: PostgrestError): FederationError {
  const { code, message, details, hint } = error;
  return errorFromRest(attempt, { status, code, message, details, hint });
}
