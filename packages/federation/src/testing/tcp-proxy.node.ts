import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** A TCP proxy in front of a server, to break what runs through it. */
export interface TcpProxy {
  readonly url: string;
  /** Drops every connection; new ones are let through. */
  cut(): void;
  /** Drops every connection and, until `restore`, every new one. */
  refuse(): void;
  /**
   * Lets nothing through in either direction, and closes nothing, until `restore`: a black hole. A connection that lost something there
   * ends then, as no later byte of it may arrive.
   */
  swallow(): void;
  /** As `swallow`, but what was said meanwhile arrives after `restore`, as TCP would repeat it. */
  hold(): void;
  /** Whoever closes a connection is not seen to: the other side keeps it. Until `restore`. */
  halfOpen(): void;
  /** Everything takes so many milliseconds longer, in order. Until `restore`. */
  delay(ms: number): void;
  restore(): void;
  close(): Promise<void>;
}

type Mode = "open" | "refusing" | "swallowing" | "holding" | "half-open";

export async function startTcpProxy(targetUrl: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(targetUrl);
  const relays = new Set<Relay>();
  const way: Way = { mode: "open", delayMs: 0 };
  const sockets = (): Set<Socket> => new Set(Array.from(relays, ({ from }) => from));
  const cut = (): void => {
    for (const socket of sockets()) socket.destroy();
    for (const relay of relays) relay.end();
  };
  const server: Server = createServer((near) => {
    if (way.mode === "refusing") return void near.destroy();
    const far = connect({ host: hostname, port: Number(port) });
    for (const relay of [new Relay(near, far, way), new Relay(far, near, way)]) {
      relays.add(relay);
      relay.to.once("close", () => relays.delete(relay));
    }
  });
  const set = (mode: Mode, delayMs = 0): void => {
    [way.mode, way.delayMs] = [mode, delayMs];
    for (const relay of relays) relay.pump();
  };
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: own } = server.address() as AddressInfo; // of a TCP server
  return {
    url: `http://127.0.0.1:${own}`,
    cut,
    refuse: () => {
      set("refusing");
      cut();
    },
    swallow: () => set("swallowing"),
    hold: () => set("holding"),
    halfOpen: () => set("half-open"),
    delay: (ms) => set("open", ms),
    restore: () => set("open"),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}

interface Way {
  mode: Mode;
  delayMs: number;
}

/** One direction of a connection. */
class Relay {
  readonly from: Socket;
  readonly to: Socket;
  readonly #way: Way;
  readonly #queue: { readonly chunk: Buffer; readonly dueMs: number }[] = [];
  #timer: NodeJS.Timeout | undefined;
  #isOver = false;
  #hasLost = false;

  constructor(from: Socket, to: Socket, way: Way) {
    [this.from, this.to, this.#way] = [from, to, way];
    from.on("data", (chunk: Buffer) => {
      if (way.mode === "swallowing") this.#hasLost = true;
      if (this.#hasLost) return;
      this.#queue.push({ chunk, dueMs: Date.now() + way.delayMs });
      this.pump();
    });
    from.on("error", () => {});
    from.on("close", () => {
      this.#isOver = true;
      this.pump();
    });
  }

  /** Passes on what is due, and the end when everything before it was. */
  pump(): void {
    clearTimeout(this.#timer);
    if (this.#way.mode === "holding" || this.#way.mode === "swallowing") {
      if (this.#isOver && this.#way.mode === "swallowing") this.to.destroy();
      return;
    }
    if (this.#hasLost) {
      this.from.destroy();
      return this.end();
    }
    for (let next = this.#queue[0]; next !== undefined; next = this.#queue[0]) {
      const waitMs = next.dueMs - Date.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.pump(), waitMs);
        return;
      }
      this.#queue.shift();
      this.to.write(next.chunk);
    }
    if (this.#isOver && this.#way.mode !== "half-open") this.to.destroy();
  }

  end(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.to.destroy();
  }
}
