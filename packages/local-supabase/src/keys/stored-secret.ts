import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { LocalSupabaseError } from "../start-error.ts";

/** A secret of its own for each project: 256 bits as 64 hexadecimal digits. */
export function randomSecret(): string {
  return randomBytes(32).toString("hex");
}

/**
 * The JWT secret that `file` keeps, made at the first call. A `given` secret is used and kept instead. Only this user
 * may read the file; it is never there half written.
 */
export function storedSecret(file: string, given: string | undefined): string {
  const stored = readSecret(file);
  const secret = given ?? stored ?? randomSecret();
  if (secret !== stored) writeSecret(file, secret);
  return secret;
}

function readSecret(file: string): string | undefined {
  let content: string;
  try {
    content = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw unreadable(file, error);
  }
  try {
    const value: unknown = JSON.parse(content);
    if (
      typeof value === "object" &&
      value !== null &&
      "jwtSecret" in value &&
      typeof value.jwtSecret === "string"
    ) {
      return value.jwtSecret;
    }
  } catch (error) {
    throw unreadable(file, error);
  }
  throw unreadable(file, new Error("no jwtSecret in it"));
}

function writeSecret(file: string, jwtSecret: string): void {
  const beside = `${file}.${process.pid}`;
  try {
    writeFileSync(beside, `${JSON.stringify({ jwtSecret }, undefined, 2)}\n`, { mode: 0o600, flush: true });
    renameSync(beside, file);
  } catch (cause) {
    rmSync(beside, { force: true });
    throw new LocalSupabaseError("data-folder", `write ${file}: ${String(cause)}`, {
      remedy: "Choose a folder that this user may write.",
      cause,
    });
  }
}

function unreadable(file: string, cause: unknown): LocalSupabaseError {
  return new LocalSupabaseError("data-folder", `read the keys in ${file}: ${String(cause)}`, {
    remedy: "Restore the file, or remove it to get new keys (tokens made with the old ones stop working).",
    cause,
  });
}
