export { startLocalSupabase, type ClosedReason, type LocalSupabase } from "./start-local-supabase.ts";
export { isLocalSupabaseError, LocalSupabaseError, type LocalSupabaseErrorCode } from "./start-error.ts";
export type { LocalSupabaseOptions, Log, LogLevel } from "./start-options.ts";
