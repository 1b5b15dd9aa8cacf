import type { Clock } from "../runtime/clock.ts";
import { isRecord, stringField } from "../runtime/json.ts";
import type { Log } from "../runtime/log.ts";
import type { RosterChange } from "../presence/roster.ts";

export interface LeaveReporterParts {
  readonly agentId: string;
  readonly clock: Clock;
  readonly random: () => number;
  readonly log: Log;
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
}

// Of many who see it, one is first, and the others hear that it was said.
const reportWithinMs = 500;
/** By then the leases have ended that a report shortens to 1.5 s. */
export const leaseLeftMs = 1_600;

/** Tells the database of processes that presence saw leave, so that what they held is soon somebody else's. */
export class LeaveReporter {
  readonly #parts: LeaveReporterParts;
  readonly #instances = new Map<string, ReadonlySet<string>>();
  readonly #reports = new Map<string, () => void>();
  readonly #sweeps = new Map<string, () => void>();
  #isClosed = false;

  constructor(parts: LeaveReporterParts) {
    this.#parts = parts;
  }

  changed({ type, agentId, presences, reason }: RosterChange): void {
    const before = this.#instances.get(agentId) ?? new Set();
    const now = new Set(type === "leave" ? [] : presences.map(({ instance_id }) => instance_id));
    this.#instances.set(agentId, now);
    if (type === "leave") this.#instances.delete(agentId);
    for (const instance of now) this.#cancel(instance); // it is back, and keeps what it holds
    const saidGoodBye = type === "leave" && reason === "shutdown";
    if (saidGoodBye || agentId === this.#parts.agentId) return;
    for (const instance of before) if (!now.has(instance)) this.#reportSoon(agentId, instance);
  }

  /** Announced: somebody reported it. */
  heard(payload: unknown): void {
    const instance = isRecord(payload) ? stringField(payload, "instance") : undefined;
    if (instance !== undefined) this.#cancel(instance);
  }

  close(): void {
    this.#isClosed = true;
    for (const timers of [this.#reports, this.#sweeps]) {
      for (const cancel of timers.values()) cancel();
      timers.clear();
    }
  }

  #reportSoon(agent: string, instance: string): void {
    const { clock, random } = this.#parts;
    this.#cancel(instance);
    this.#reports.set(
      instance,
      clock.after(random() * reportWithinMs, () => void this.#report(agent, instance)),
    );
  }

  /** Never rejects: without a report leases end at their normal end. */
  async #report(agent: string, instance: string): Promise<void> {
    const { call, clock, log } = this.#parts;
    this.#reports.delete(instance);
    const quietly = (error: unknown): void =>
      log("debug", "an agent's leaving could not be reported", { error });
    const shortened = await call("report_agent_gone", { agent, instance }).catch(quietly);
    if (typeof shortened !== "number" || shortened === 0 || this.#isClosed) return;
    this.#sweeps.set(
      instance,
      clock.after(leaseLeftMs, () => {
        this.#sweeps.delete(instance);
        call("sweep", {}).catch(quietly);
      }),
    );
  }

  #cancel(instance: string): void {
    this.#reports.get(instance)?.();
    this.#reports.delete(instance);
  }
}
