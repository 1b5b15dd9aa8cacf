import type { WebSocketLikeConstructor } from "@supabase/supabase-js";
import { FederationError } from "../runtime/errors.ts";

/** The WebSocket of this runtime: the global one, else (Node 20) the `ws` package. Rejects with "unsupported" where there is neither. */
export async function resolveTransport(): Promise<WebSocketLikeConstructor> {
  const native = (globalThis as { WebSocket?: unknown }).WebSocket;
  // Both have the constructor and the event properties that supabase-js uses; their static types differ in the rest.
  if (typeof native === "function") return native as WebSocketLikeConstructor;
  try {
    const { WebSocket } = await import("ws");
    return WebSocket as unknown as WebSocketLikeConstructor;
  } catch (error) {
    throw new FederationError(
      "unsupported",
      "this runtime has no WebSocket and the ws package cannot be loaded",
      {
        cause: error,
        remedy: "Install ws, or use Node 22 or newer",
      },
    );
  }
}

/** What this layer needs of a socket beyond what supabase-js does with it. */
export interface OwnedSocket {
  readonly readyState: number;
  close(): void;
}

export interface TransportEvents {
  onOpen(socket: OwnedSocket): void;
  /** A frame made supabase-js throw: it was not JSON, or not of the shape it expects. */
  onNoise(error: unknown): void;
}

/**
 * `Base` with every socket reported, and with message handlers that cannot throw: an exception out of a handler leaves a `ws` socket
 * deaf, and reports an uncaught error with a native one.
 */
export function ownTransport(
  Base: WebSocketLikeConstructor,
  events: TransportEvents,
): WebSocketLikeConstructor {
  return class OwnedWebSocket extends Base {
    constructor(address: string | URL, protocols?: string | string[]) {
      super(address, protocols);
      events.onOpen(this);
    }

    override get onmessage(): MessageHandler {
      return super.onmessage as MessageHandler;
    }

    override set onmessage(handler: MessageHandler) {
      super.onmessage =
        handler === null
          ? null
          : (event: MessageEvent) => {
              try {
                handler.call(this, event);
              } catch (error) {
                events.onNoise(error);
              }
            };
    }
  };
}

type MessageHandler = ((event: MessageEvent) => unknown) | null;

/** Ends a socket whose other side does not answer the closing handshake; `ws` would wait 30 s for it and keep the process alive. */
export function terminate(socket: OwnedSocket): void {
  if ("terminate" in socket && typeof socket.terminate === "function") socket.terminate();
  else socket.close();
}
