import type { Codec } from "../codec/codec.ts";
import type { WireFrame } from "../codec/wire-frame.ts";
import { isAbout, type Binding } from "./binding.ts";
import type { Asker } from "./judge.ts";

/** Who receives row changes: a joined channel. */
export interface RowReceiver {
  readonly topic: string;
  readonly codec: Codec;
  /** Joined as clients before 2.0 did: events are named INSERT, UPDATE, DELETE and carry the bare data. */
  readonly namesEvents: boolean;
  /** Never throws and never waits. */
  deliverRow(frame: WireFrame): void;
}

export interface Subscription {
  readonly receiver: RowReceiver;
  readonly bindings: readonly Binding[];
  /** Another one after the token changed. */
  asker: Asker;
}

/** All that is subscribed to, found by table. */
export class Subscriptions {
  readonly #all = new Set<Subscription>();
  readonly #byTable = new Map<string, readonly Subscription[]>();
  /** Changes with everything that changes here. */
  version = 0;

  get isEmpty(): boolean {
    return this.#all.size === 0;
  }

  add(subscription: Subscription): void {
    this.#all.add(subscription);
    this.changed();
  }

  remove(subscription: Subscription): void {
    if (this.#all.delete(subscription)) this.changed();
  }

  changed(): void {
    this.#byTable.clear();
    this.version++;
  }

  about(schema: string, table: string): readonly Subscription[] {
    const key = JSON.stringify([schema, table]);
    let found = this.#byTable.get(key);
    if (found === undefined) {
      found = [...this.#all].filter(({ bindings }) => bindings.some((one) => isAbout(one, schema, table)));
      this.#byTable.set(key, found);
    }
    return found;
  }
}
