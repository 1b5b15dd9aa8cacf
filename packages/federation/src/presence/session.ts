import { sleep, type Clock } from "../runtime/clock.ts";
import { FederationError, isFederationError, toFederationError } from "../runtime/errors.ts";
import { isRecord, numberField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import { Scope } from "../runtime/scope.ts";

/** The newest positions that concern this agent, as the heartbeat's answer names them. */
export interface Positions {
  readonly inbox: number;
  readonly feed: number;
}

export interface SessionOptions {
  readonly sessionId: string;
  readonly instanceId: string;
  readonly heartbeatMs: number;
  readonly timeoutSeconds: number;
  readonly capabilities: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;
}

export interface SessionParts {
  readonly clock: Clock;
  readonly log: Log;
  readonly call: (
    name: string,
    args: Readonly<Record<string, unknown>>,
    options?: { timeoutMs?: number },
  ) => Promise<unknown>;
  readonly status: () => { readonly status: string; readonly task: string | undefined };
  /** The session had been closed by somebody and is open again. */
  readonly onReopened: () => void;
  /** After each heartbeat that was answered. */
  readonly onPositions: (positions: Positions) => void;
  /** Heartbeats have failed for as long as it takes to be taken for dead. */
  readonly onTrouble: (error: FederationError) => void;
}

// As many missed heartbeats as end a session.
const troubleAfter = 3;

/** This process's row in agent_sessions: opened, kept alive, closed. */
export class Session {
  readonly #options: SessionOptions;
  readonly #parts: SessionParts;
  readonly #scope: Scope;
  #isOpen = false;

  constructor(options: SessionOptions, parts: SessionParts) {
    this.#options = options;
    this.#parts = parts;
    this.#scope = new Scope((error) => parts.log("error", "the heartbeat stopped", { error }));
  }

  /** Resolves to the position at which the session was opened. */
  async open(): Promise<number> {
    const { sessionId, instanceId, capabilities, metadata, timeoutSeconds } = this.#options;
    const { status, task } = this.#parts.status();
    const session = await this.#parts.call("open_session", {
      session_id: sessionId,
      instance_id: instanceId,
      status,
      task: task ?? null,
      capabilities,
      metadata,
      timeout_seconds: timeoutSeconds,
    });
    this.#isOpen = true;
    return (isRecord(session) ? numberField(session, "seq") : undefined) ?? 0;
  }

  keepAlive(): void {
    this.#scope.run((signal) => this.#beat(signal));
  }

  /** Writes status and task; a session that somebody closed meanwhile is opened again. */
  async update(status: string, task: string | undefined): Promise<void> {
    const write = (): Promise<unknown> =>
      this.#parts.call("update_session", { session_id: this.#options.sessionId, status, task: task ?? null });
    try {
      await write();
    } catch (error) {
      if (!isFederationError(error, "not_found")) throw error;
      await this.#reopen();
      await write();
    }
  }

  /** Ends the heartbeat and, if it was opened, the session. Rejects when the database could not be told. */
  async close(timeoutMs: number): Promise<void> {
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
    if (answer["alive"] === false && !this.#scope.isClosed) await this.#reopen();
    const positions = isRecord(answer["positions"]) ? answer["positions"] : {};
    this.#parts.onPositions({
      inbox: numberField(positions, "inbox") ?? 0,
      feed: numberField(positions, "feed") ?? 0,
    });
  }

  async #reopen(): Promise<void> {
    await this.open();
    this.#parts.log("info", "the session had been closed and was opened again", {
      sessionId: this.#options.sessionId,
    });
    this.#parts.onReopened();
  }
}
