import type { WireFrame } from "../codec/wire-frame.ts";

export type FrameKind = "broadcast" | "presence";

interface Held {
  readonly frame: WireFrame;
  readonly kind: FrameKind;
  readonly metaJson: string;
}

/**
 * Stands between a room and a channel that asked for a replay. The channel is in its room before the stored messages are
 * read, so that none falls in between: what comes meanwhile is held, and what was replayed is not delivered again.
 * Stored messages are told apart by their metadata, which is their id; what has none was never stored.
 */
export class ReplayGate {
  #held: Held[] | undefined = [];
  /** The metadata of the replayed messages that were not delivered live yet. */
  readonly #expected = new Set<string>();

  /** True where the frame goes no further, for now or for good. */
  stops(frame: WireFrame, kind: FrameKind, metaJson: string): boolean {
    if (this.#held === undefined) return this.#expected.delete(metaJson);
    this.#held.push({ frame, kind, metaJson });
    return true;
  }

  /** What was held comes out to `deliver`, but for what was replayed. */
  open(
    replayed: readonly string[],
    deliver: (frame: WireFrame, kind: FrameKind, metaJson: string) => void,
  ): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const metaJson of replayed) this.#expected.add(metaJson);
    for (const { frame, kind, metaJson } of held)
      if (!this.stops(frame, kind, metaJson)) deliver(frame, kind, metaJson);
  }
}
