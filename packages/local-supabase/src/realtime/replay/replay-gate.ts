import type { WireFrame } from "../codec/wire-frame.ts";

export type FrameKind = "broadcast" | "presence";

/**
 * Stands between a room and a channel that asked for a replay. The channel is in its room before the stored messages are
 * read, so that none falls in between: what comes meanwhile is held, and what was replayed is not delivered again.
 */
export class ReplayGate {
  #held: { readonly frame: WireFrame; readonly kind: FrameKind }[] | undefined = [];
  /** The replayed messages as they would be delivered live, until they were. */
  #expected: WireFrame[] = [];

  /** True where the frame goes no further, for now or for good. */
  stops(frame: WireFrame, kind: FrameKind): boolean {
    if (this.#held !== undefined) {
      this.#held.push({ frame, kind });
      return true;
    }
    const at = this.#expected.findIndex((expected) => expected.equals(frame));
    if (at !== -1) this.#expected.splice(at, 1);
    return at !== -1;
  }

  /** What was held comes out to `deliver`, but for what was replayed. */
  open(replayedAsLive: readonly WireFrame[], deliver: (frame: WireFrame, kind: FrameKind) => void): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.#expected = [...replayedAsLive];
    for (const { frame, kind } of held) if (!this.stops(frame, kind)) deliver(frame, kind);
  }
}
