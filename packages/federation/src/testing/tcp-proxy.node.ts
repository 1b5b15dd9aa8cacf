import { connect, createServer, type Server, type Socket } from "node:net";
import type { AddressInfo } from "node:net";

/** A TCP proxy in front of a server, to break what runs through it. */
export interface TcpProxy {
  readonly url: string;
  /** Drops every connection; new ones are let through. */
  cut(): void;
  /** Drops every connection and, until `restore`, every new one. */
  refuse(): void;
  /** Lets nothing through in either direction, and closes nothing: a half-open network. Until `restore`. */
  swallow(): void;
  restore(): void;
  close(): Promise<void>;
}

export async function startTcpProxy(targetUrl: string): Promise<TcpProxy> {
  const { hostname, port } = new URL(targetUrl);
  const pairs = new Set<readonly [Socket, Socket]>();
  let mode: "open" | "refusing" | "swallowing" = "open";
  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  const server: Server = createServer((near) => {
    if (mode === "refusing") return void near.destroy();
    const far = connect({ host: hostname, port: Number(port) });
    const pair = [near, far] as const;
    pairs.add(pair);
    const relay = (from: Socket, to: Socket): void => {
      from.on("data", (chunk) => mode !== "swallowing" && to.write(chunk));
      from.on("error", () => {});
      from.on("close", () => {
        pairs.delete(pair);
        to.destroy();
      });
    };
    relay(near, far);
    relay(far, near);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port: own } = server.address() as AddressInfo; // of a TCP server
  return {
    url: `http://127.0.0.1:${own}`,
    cut,
    refuse: () => {
      mode = "refusing";
      cut();
    },
    swallow: () => void (mode = "swallowing"),
    restore: () => void (mode = "open"),
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      cut();
      await closed;
    },
  };
}
