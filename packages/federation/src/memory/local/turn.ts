import { turns } from "../turns.ts";

/** Lets everything else run that waits for the event loop. Node only: browsers have no setImmediate, and no local store. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => void setImmediate(resolve));
}

/** Work in pieces, between which others run. All of a process have one turn of the event loop together: each alone would be short enough, and many would not. */
export class Slice {
  /** How often it has let others run. */
  rests = 0;

  constructor() {
    turns.begin();
  }

  /** Asked after each piece. */
  get isOver(): boolean {
    return turns.isOver();
  }

  /** `first`: what is waited for besides. */
  async rest(first?: () => Promise<void>): Promise<void> {
    this.rests += 1;
    await first?.();
    await turns.next();
  }
}
