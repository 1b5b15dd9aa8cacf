/** What three clients may do to two rooms, the second of which is private. */
export type Command = {
  readonly client: number;
  readonly room: number;
} & (
  | { readonly do: "join"; readonly hasPresence: boolean; readonly self: boolean }
  | { readonly do: "leave" | "untrack" | "disconnect" }
  | { readonly do: "track"; readonly n: number }
  | { readonly do: "broadcast"; readonly isBinary: boolean }
  /** Of the same user; of one who may not read the private room; no token at all. */
  | { readonly do: "token"; readonly token: "fresh" | "stranger" | "broken" }
);

/** How the server has to answer a push. */
export type Answer = "ok" | "unmatched" | "nothing";

export interface Seat {
  readonly self: boolean;
  /** Wants to know who is there; a track wants it, too. */
  hasPresence: boolean;
  tracked: number | undefined;
  /** There since before the phase began, so that it hears all that is said in it. */
  isOld: boolean;
}

/**
 * What is true of the rooms however the clients' frames meet: the order of one client's own pushes decides its seats and
 * its presence alone.
 */
export class InterleavingModel {
  readonly #seats = new Map<string, Seat>();

  seat(client: number, room: number): Seat | undefined {
    return this.#seats.get(`${client} ${room}`);
  }

  beginPhase(): void {
    for (const seat of this.#seats.values()) seat.isOld = true;
  }

  /** Who is present in a room, as `client:n`, sorted. */
  present(room: number, clients: number): readonly string[] {
    return Array.from({ length: clients }, (_, client) => client)
      .filter((client) => this.seat(client, room)?.tracked !== undefined)
      .map((client) => `${client}:${this.seat(client, room)?.tracked}`)
      .toSorted();
  }

  apply(command: Command): Answer {
    const { client, room } = command;
    const key = `${client} ${room}`;
    const seat = this.#seats.get(key);
    switch (command.do) {
      case "join": {
        const { self, hasPresence } = command;
        this.#seats.set(key, { self, hasPresence, tracked: undefined, isOld: false });
        return "ok";
      }
      case "leave":
        this.#seats.delete(key);
        return "ok";
      case "disconnect":
        for (const each of this.#seats.keys()) if (each.startsWith(`${client} `)) this.#seats.delete(each);
        return "nothing";
      case "track":
        if (seat === undefined) return "unmatched";
        Object.assign(seat, { tracked: command.n, hasPresence: true });
        return "ok";
      case "untrack":
        if (seat === undefined) return "unmatched";
        seat.tracked = undefined;
        return "ok";
      case "broadcast":
        return seat === undefined ? "unmatched" : "ok";
      case "token":
        if (seat === undefined) return "unmatched";
        if (command.token === "broken" || (command.token === "stranger" && room === PRIVATE_ROOM))
          this.#seats.delete(key);
        return "nothing";
    }
  }
}

export const PRIVATE_ROOM = 1;
