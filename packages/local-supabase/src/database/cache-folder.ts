import { homedir } from "node:os";
import { join } from "node:path";

/** Where this user's programs keep what can be made again. */
export function cacheFolder(env: NodeJS.ProcessEnv = process.env): string {
  const own = env["SUPABASE_LOCAL_CACHE"];
  if (own !== undefined && own !== "") return own;
  return join(userCacheFolder(env), "supabase-local");
}

function userCacheFolder(env: NodeJS.ProcessEnv): string {
  if (process.platform === "win32") return env["LOCALAPPDATA"] ?? join(homedir(), "AppData", "Local");
  if (process.platform === "darwin") return join(homedir(), "Library", "Caches");
  const xdg = env["XDG_CACHE_HOME"];
  return xdg !== undefined && xdg !== "" ? xdg : join(homedir(), ".cache");
}
