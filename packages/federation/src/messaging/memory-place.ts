import { FederationError } from "../runtime/errors.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";

export interface MemoryPlaceParts {
  readonly log: Log;
  /** `memory_place`: null asks for the agent's place; a cursor says that everything before it was told. */
  readonly keep: (cursor: string | null) => Promise<unknown>;
}

/** Up to where this agent was told which memories changed, as the database keeps it: where its next process goes on. */
export class MemoryPlace {
  readonly #parts: MemoryPlaceParts;
  #kept: string | undefined;
  /** Something was told that lies behind the place. */
  #isBehind = false;

  constructor(parts: MemoryPlaceParts) {
    this.#parts = parts;
  }

  get isBehind(): boolean {
    return this.#isBehind;
  }

  /** Undefined for an agent that has kept none. */
  async begin(): Promise<{ readonly cursor: string; readonly atMs: number } | undefined> {
    const answer = await this.#parts.keep(null);
    if (!isRecord(answer)) throw new FederationError("protocol", "memory_place: expected an object");
    const cursor = stringField(answer, "cursor");
    const atMs = Date.parse(stringField(answer, "kept_at") ?? "");
    if (cursor === undefined || Number.isNaN(atMs)) return undefined;
    this.#kept = cursor;
    return { cursor, atMs };
  }

  told(): void {
    this.#isBehind = true;
  }

  /** Everything before `cursor` was told. That it cannot be kept now costs that it is told again by the next process. */
  async reached(cursor: string): Promise<void> {
    if (this.#kept !== undefined && !this.#isBehind) return;
    this.#isBehind = false;
    if (cursor === this.#kept) return;
    try {
      await this.#parts.keep(cursor);
      this.#kept = cursor;
    } catch (error) {
      this.#isBehind = true;
      this.#parts.log("debug", "the place among the memories could not be kept", { error });
    }
  }
}
