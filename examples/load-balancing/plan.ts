/** Who does what: pure, so that it can be tested without a worker. */

/** What is to be done, in pieces that can be done in any order. */
export interface Piece {
  readonly name: string;
  readonly from: number;
  readonly to: number;
}

export interface Order {
  readonly piece: Piece;
  readonly worker: string;
  /** Unique for every attempt: the same id with another worker would be another task under an old name. */
  readonly taskId: string;
}

/** `[0, to)` in `count` pieces. */
export function piecesOf(to: number, count: number): Piece[] {
  const size = Math.ceil(to / count);
  return Array.from({ length: count }, (_, index) => ({
    name: `primes-${String(index + 1).padStart(2, "0")}`,
    from: index * size,
    to: Math.min(to, (index + 1) * size),
  }));
}

/** Keeps what is waiting, who is here and who has what. */
export class Plan {
  readonly #waiting: Piece[];
  readonly #workers = new Set<string>();
  readonly #running = new Map<string, Order>();
  readonly #attempts = new Map<string, number>();
  readonly #results = new Map<string, number>();
  readonly #total: number;

  constructor(pieces: readonly Piece[]) {
    this.#waiting = [...pieces];
    this.#total = pieces.length;
  }

  get isDone(): boolean {
    return this.#results.size === this.#total;
  }

  get done(): number {
    return this.#results.size;
  }

  /** The sum of all results so far. */
  get sum(): number {
    return [...this.#results.values()].reduce((total, each) => total + each, 0);
  }

  /** What `worker` is doing. */
  ordersOf(worker: string): Order[] {
    return [...this.#running.values()].filter((order) => order.worker === worker);
  }

  join(worker: string): void {
    this.#workers.add(worker);
  }

  /** What it had goes back to the front of the line; returns that. */
  leave(worker: string): Piece[] {
    this.#workers.delete(worker);
    const lost = this.ordersOf(worker);
    for (const { taskId } of lost) this.#running.delete(taskId);
    const pieces = lost.map((order) => order.piece);
    this.#waiting.unshift(...pieces);
    return pieces;
  }

  /** A result of an order that was taken back already counts as well, but not twice. Returns whether it was new. */
  complete(taskId: string, result: number): boolean {
    const name = taskId.replace(/\.\d+$/, "");
    this.#running.delete(taskId);
    const at = this.#waiting.findIndex((piece) => piece.name === name);
    if (at !== -1) this.#waiting.splice(at, 1);
    if (this.#results.has(name)) return false;
    this.#results.set(name, result);
    return true;
  }

  /** Orders to give now: one for every worker that has nothing to do. The last `keep` pieces go on waiting. */
  next(keep = 0): Order[] {
    const orders: Order[] = [];
    for (const worker of this.#workers) {
      if (this.ordersOf(worker).length > 0) continue;
      const piece = this.#waiting.length > keep ? this.#waiting.shift() : undefined;
      if (piece === undefined) break;
      const attempt = (this.#attempts.get(piece.name) ?? 0) + 1;
      this.#attempts.set(piece.name, attempt);
      const order: Order = { piece, worker, taskId: `${piece.name}.${attempt}` };
      this.#running.set(order.taskId, order);
      orders.push(order);
    }
    return orders;
  }
}
