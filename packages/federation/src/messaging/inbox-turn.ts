import { sleep, type Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import { isRecord, numberField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";

export interface InboxTurnParts {
  /** Every process takes every message: there are no turns. */
  readonly isShared: boolean;
  readonly clock: Clock;
  readonly log: Log;
  /** For how long the turn is believed without a sign that the database still counts on this process. */
  readonly validMs: number;
  /** Asks the database for the turn; `asked` once the holder has been asked and has had time to answer. */
  readonly take: (asked: boolean) => Promise<unknown>;
  /** It is this process's turn now: what was passed over has to be read. */
  readonly onMine: () => void;
}

const againAfterMs = 2_000;

/** Of several processes of one agent, one handles its messages; this knows whether it is this one. */
export class InboxTurn {
  readonly #parts: InboxTurnParts;
  readonly #scope: Scope;
  #isMine = false;
  #confirmedAtMs = 0;
  #isAsking = false;
  #again = false;

  constructor(parts: InboxTurnParts) {
    this.#parts = parts;
    this.#scope = new Scope((error) => parts.log("error", "asking for the inbox failed", { error }));
  }

  get isMine(): boolean {
    const { isShared, clock, validMs } = this.#parts;
    return isShared || (this.#isMine && clock.now() - this.#confirmedAtMs < validMs);
  }

  /** The session is known to live. Whoever waits for the turn looks whether it has become free. */
  beat(): void {
    if (this.isMine) this.#confirmedAtMs = this.#parts.clock.now();
    else this.ask();
  }

  /** Somebody may have taken over: until the database has said otherwise it is not this process's turn. */
  doubt(): void {
    if (this.#parts.isShared) return this.#parts.onMine();
    this.#isMine = false;
    this.ask();
  }

  /** Asks for the turn unless it is this process's. */
  ask(): void {
    if (this.isMine) return;
    this.#again = true;
    if (this.#isAsking) return;
    this.#isAsking = true;
    this.#scope.run(async (signal) => {
      try {
        while (this.#again && !signal.aborted) {
          this.#again = false;
          await this.#askOnce(signal);
        }
      } finally {
        this.#isAsking = false;
      }
    });
  }

  async close(): Promise<void> {
    this.#isMine = false;
    await this.#scope.close(new FederationError("closed", "the inbox was closed"));
  }

  async #askOnce(signal: AbortSignal): Promise<void> {
    const { clock, log, take } = this.#parts;
    for (let asked = false; !signal.aborted; asked = true) {
      let waitMs: number | undefined;
      try {
        waitMs = this.#learn(await take(asked));
      } catch (error) {
        if (signal.aborted) return;
        log("debug", "whose turn it is could not be read and is asked again", { error });
        this.#again = true;
        waitMs = againAfterMs;
      }
      if (waitMs === undefined) return;
      await sleep(clock, waitMs, signal).catch(() => {});
      if (this.#again) return;
    }
  }

  /** After how many milliseconds to ask again, if at all. */
  #learn(answer: unknown): number | undefined {
    if (!isRecord(answer)) throw new FederationError("protocol", "take_inbox: the answer is not an object");
    if (answer["first"] !== true || this.#scope.isClosed) return numberField(answer, "ask_again_ms");
    this.#isMine = true;
    this.#confirmedAtMs = this.#parts.clock.now();
    this.#parts.onMine();
    return undefined;
  }
}
