import { sleep, type Clock } from "../runtime/clock.ts";
import { FederationError, isFederationError, toFederationError } from "../runtime/errors.ts";
import { isRecord, numberField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";

/** The newest positions that concern this agent, as the heartbeat's answer names them. */
export interface Positions {
  readonly inbox: number;
  readonly feed: number;
  readonly roster: number;
  readonly queue: number;
}

/** What a process says of itself while it works. */
export interface SessionStatus {
  readonly status: string;
  readonly task: string | undefined;
  readonly load: number | undefined;
}

export interface SessionOptions {
  readonly sessionId: string;
  readonly instanceId: string;
  readonly heartbeatMs: number;
  readonly timeoutSeconds: number;
  readonly capabilities: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
  /** Ends the agent's other sessions. */
  readonly exclusive: boolean;
}

export interface SessionParts {
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly call: (
    name: string,
    args: Readonly<Record<string, unknown>>,
    options?: { timeoutMs?: number },
  ) => Promise<unknown>;
  readonly status: () => SessionStatus;
  /** The session had been closed by somebody and is open again. */
  readonly onReopened: () => void;
  /** After each heartbeat that was answered. */
  readonly onPositions: (positions: Positions) => void;
  /** Another process of this agent opened a session exclusively. */
  readonly onReplaced: (error: FederationError) => void;
  /** Heartbeats have failed for as long as it takes to be taken for dead. */
  readonly onTrouble: (error: FederationError) => void;
}

// As many missed heartbeats as end a session.
const troubleAfter = 3;
// Of many who may tell a large room, one is first, and the others hear that it was done.
const tellWithinMs = 100;

/** This process's row in agent_sessions: opened, kept alive, closed. */
export class Session {
  readonly #options: SessionOptions;
  readonly #parts: SessionParts;
  readonly #scope: Scope;
  #isOpen = false;
  #cancelTelling: (() => void) | undefined;
  #updating: Promise<void> = Promise.resolve();

  constructor(options: SessionOptions, parts: SessionParts) {
    this.#options = options;
    this.#parts = parts;
    this.#scope = new Scope((error) => parts.log("error", "the heartbeat stopped", { error }));
  }

  async open(): Promise<void> {
    const { sessionId, instanceId, capabilities, metadata, timeoutSeconds, exclusive } = this.#options;
    const { status, task, load } = this.#parts.status();
    const { call } = this.#parts;
    const session = await call("open_session", {
      session_id: sessionId,
      instance_id: instanceId,
      status,
      task: task ?? null,
      capabilities,
      metadata,
      timeout_seconds: timeoutSeconds,
    });
    if (exclusive) await call("end_older_sessions", { session_id: sessionId });
    if (load !== undefined) await call("set_load", { session_id: sessionId, load });
    this.#isOpen = true;
    this.#tellLater(session);
  }

  keepAlive(): void {
    this.#scope.run((signal) => this.#beat(signal));
  }

  /** Writes what this process says of itself; a session that somebody closed meanwhile is opened again. One call after the other: the last one stays. */
  update(said: SessionStatus): Promise<void> {
    const written = this.#updating.then(() => this.#update(said));
    this.#updating = written.catch(() => {});
    return written;
  }

  async #update({ status, task, load }: SessionStatus): Promise<void> {
    const { sessionId } = this.#options;
    const { call } = this.#parts;
    const write = async (): Promise<void> => {
      if (load !== undefined) await call("set_load", { session_id: sessionId, load });
      this.#tellLater(await call("update_session", { session_id: sessionId, status, task: task ?? null }));
    };
    try {
      await write();
    } catch (error) {
      if (!isFederationError(error, "not_found")) throw error;
      await this.#reopen();
      await write();
    }
  }

  /** The room was told of this session: nobody needs to do it any more. */
  wasTold(): void {
    this.#cancelTelling?.();
    this.#cancelTelling = undefined;
  }

  /** Ends the heartbeat and, if it was opened, the session. Rejects when the database could not be told. */
  async close(timeoutMs: number): Promise<void> {
    this.wasTold();
    await this.#scope.close(new FederationError("closed", "the session was closed"));
    if (!this.#isOpen) return;
    this.#isOpen = false;
    await this.#parts.call("close_session", { session_id: this.#options.sessionId }, { timeoutMs });
  }

  async #beat(signal: AbortSignal): Promise<void> {
    const { clock, log, onTrouble } = this.#parts;
    let failures = 0;
    while (!signal.aborted) {
      await sleep(clock, this.#options.heartbeatMs, signal).catch(() => {});
      if (signal.aborted) return;
      try {
        await this.#beatOnce();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        failures++;
        log("debug", "a heartbeat failed", { failures, error });
        if (failures === troubleAfter) onTrouble(toFederationError(error, "server", "heartbeat"));
      }
    }
  }

  async #beatOnce(): Promise<void> {
    const answer = await this.#parts.call("heartbeat", { session_id: this.#options.sessionId });
    if (!isRecord(answer)) throw new FederationError("protocol", "heartbeat: the answer is not an object");
    if (answer["alive"] === false && !this.#scope.isClosed) {
      if (answer["end_reason"] === "replaced") return this.replaced();
      await this.#reopen();
    }
    const positions = isRecord(answer["positions"]) ? answer["positions"] : {};
    this.#parts.onPositions({
      inbox: numberField(positions, "inbox") ?? 0,
      feed: numberField(positions, "feed") ?? 0,
      roster: numberField(positions, "roster") ?? 0,
      queue: numberField(positions, "queue") ?? 0,
    });
  }

  /** Another process took over: this session is over, and is not opened again. */
  replaced(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#parts.onReplaced(
      new FederationError("replaced", "another process of this agent took over, exclusively", {
        remedy: "Run one of them only, or give each its own agent id",
      }),
    );
  }

  /** A large room hears of changes as digests: whoever changed something sees to it that it is told. */
  #tellLater(answer: unknown): void {
    const dueMs = isRecord(answer) ? numberField(answer, "tell_in_ms") : undefined;
    if (dueMs === undefined || this.#scope.isClosed) return;
    this.wasTold();
    const { clock, random, call, log } = this.#parts;
    this.#cancelTelling = clock.after(dueMs + random() * tellWithinMs, () => {
      this.#cancelTelling = undefined;
      this.#scope.run(async () => {
        try {
          this.#tellLater({ tell_in_ms: await call("tell_sessions", {}) });
        } catch (error) {
          log("debug", "the room could not be told; the next heartbeat of anybody does it", { error });
        }
      });
    });
  }

  async #reopen(): Promise<void> {
    try {
      await this.open();
    } catch (error) {
      if (isFederationError(error, "invalid_state")) this.replaced();
      throw error;
    }
    this.#parts.log("info", "the session had been closed and was opened again", {
      sessionId: this.#options.sessionId,
    });
    this.#parts.onReopened();
  }
}
