import type { Credential } from "./credential.ts";

const maxTokens = 1_000;

/** Tokens whose signature was checked before, each until it expires; the one used longest ago goes first. */
export class VerifiedCache {
  readonly #credentials = new Map<string, Credential>();

  get(token: string, nowMs: number): Credential | undefined {
    const credential = this.#credentials.get(token);
    if (credential === undefined) return undefined;
    this.#credentials.delete(token);
    const { expiresAtSeconds } = credential;
    if (expiresAtSeconds !== undefined && expiresAtSeconds * 1000 <= nowMs) return undefined;
    this.#credentials.set(token, credential);
    return credential;
  }

  add(token: string, credential: Credential): void {
    this.#credentials.set(token, credential);
    if (this.#credentials.size <= maxTokens) return;
    for (const oldest of this.#credentials.keys()) {
      this.#credentials.delete(oldest);
      return;
    }
  }
}
