import type { Credential } from "../../keys/credential.ts";
import type { PreparedRows, RowChanges, RowEntry } from "../postgres-changes/row-changes.ts";
import type { RowReceiver } from "../postgres-changes/subscriptions.ts";
import { subscribedText } from "../postgres-changes/texts.ts";

export interface ChannelRowsParts {
  readonly entries: readonly RowEntry[];
  readonly rowChanges: RowChanges;
  readonly receiver: RowReceiver;
  readonly say: (status: "ok" | "error", message: string) => void;
}

/** The row changes of one channel: subscribed to after the join, renewed with its token, ended with it. */
export class ChannelRows {
  readonly #parts: ChannelRowsParts;
  #prepared: PreparedRows | undefined;
  #credential: Credential | undefined;
  #isStopped = false;

  constructor(parts: ChannelRowsParts) {
    this.#parts = parts;
  }

  /** What the join has prepared already, or nothing. */
  async start(credential: Credential, prepared?: PreparedRows): Promise<void> {
    const { entries, rowChanges, receiver, say } = this.#parts;
    if (entries.length === 0) return;
    this.#credential = credential;
    const outcome = prepared ?? (await rowChanges.prepare(entries, credential));
    if ("problem" in outcome) {
      if (!this.#isStopped) say("error", outcome.problem);
      return;
    }
    if (this.#isStopped) return outcome.release();
    this.#prepared = outcome;
    outcome.attach(receiver);
    if (this.#credential === credential) say("ok", subscribedText);
    else await this.renew(this.#credential); // the token changed meanwhile
  }

  /** From the next change on. */
  async renew(credential: Credential): Promise<void> {
    const { say } = this.#parts;
    const isStarting = this.#credential !== undefined && this.#prepared === undefined;
    this.#credential = credential;
    if (isStarting || this.#prepared === undefined) return;
    const prepared = this.#prepared;
    const problem = await prepared.renew(credential);
    if (this.#isStopped || this.#credential !== credential) return;
    if (problem === undefined) return say("ok", subscribedText);
    this.#prepared = undefined;
    prepared.release();
    say("error", problem);
  }

  stop(): void {
    this.#isStopped = true;
    this.#prepared?.release();
  }
}
