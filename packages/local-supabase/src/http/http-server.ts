import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo, Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { Keyring } from "../keys/credential.ts";
import type { Realtime } from "../realtime/realtime.ts";
import type { Rest } from "../rest/rest.ts";
import { LocalSupabaseError } from "../start-error.ts";
import { answerPreflight, allowEveryOrigin } from "./cors.ts";
import { answerHealth, answerMetrics } from "./operations.ts";
import { answerRest } from "./rest-door.ts";
import { sendJson } from "./send-json.ts";

export interface HttpServices {
  readonly keyring: Keyring;
  readonly rest: Rest;
  readonly realtime: Realtime;
}

export interface HttpServerOptions {
  readonly host: string;
  readonly port: number;
  readonly log: (
    level: "error" | "info" | "debug",
    message: string,
    fields?: Record<string, unknown>,
  ) => void;
}

/** Hosted gateways take this much as well; a URL with a long `in` filter is part of it. */
const maxHeaderSize = 128 * 1024;
const closeGraceMs = 2_000;
/** Node's five seconds would often close a connection just as a client sends on it. */
const keepAliveTimeout = 65_000;

/**
 * The one port of the stack. It is bound before anything else is started, so that a port that is taken costs nothing;
 * until `serve` is called requests are answered with 503.
 */
export class HttpServer {
  readonly #server: Server;
  readonly #options: HttpServerOptions;
  readonly #sockets = new Set<Socket>();
  #services: HttpServices | undefined;
  #closed: Promise<void> | undefined;

  private constructor(options: HttpServerOptions) {
    this.#options = options;
    this.#server = createServer({ maxHeaderSize, keepAliveTimeout }, (request, response) => {
      this.#answer(request, response).catch((error: unknown) => this.#failed(response, error));
    });
    this.#server.on("upgrade", (request, socket, head) => this.#upgrade(request, socket, head));
    this.#server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.once("close", () => this.#sockets.delete(socket));
    });
  }

  /** Resolves when the port is bound; rejects with "port-taken" or "option". */
  static async listen(options: HttpServerOptions): Promise<HttpServer> {
    const http = new HttpServer(options);
    const { host, port } = options;
    await new Promise<void>((bound, failed) => {
      http.#server.once("error", (error) => failed(bindFailed(host, port, error)));
      http.#server.listen(port, host, bound);
    });
    return http;
  }

  get url(): string {
    // A listening TCP server has an address of this form.
    const { address, family, port } = this.#server.address() as AddressInfo;
    const host = address === "0.0.0.0" || address === "::" ? "127.0.0.1" : address;
    return `http://${family === "IPv6" && host === address ? `[${host}]` : host}:${port}`;
  }

  serve(services: HttpServices): void {
    this.#services = services;
  }

  /** From now on nothing new is taken; what runs goes on. */
  stopServing(): void {
    this.#services = undefined;
    this.#closed ??= new Promise((done) => this.#server.close(() => done()));
  }

  /** Gives what runs two seconds to end, then cuts every connection. */
  async close(): Promise<void> {
    this.stopServing();
    const grace = setTimeout(() => {
      for (const socket of this.#sockets) socket.destroy();
    }, closeGraceMs);
    this.#server.closeIdleConnections();
    await this.#closed;
    clearTimeout(grace);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    allowEveryOrigin(response);
    if (request.method === "OPTIONS") return answerPreflight(request, response);
    const services = this.#services;
    if (services === undefined)
      return sendJson(response, 503, { message: "The local Supabase is starting or ending" });
    const [path, query = ""] = splitOnce(request.url ?? "/", "?");
    const startedMs = performance.now();
    response.once("close", () => {
      const { method } = request;
      const tookMs = Math.round(performance.now() - startedMs);
      this.#options.log("debug", "request", { method, path, status: response.statusCode, tookMs });
    });
    if (isBelow(path, "/rest/v1")) {
      await answerRest(request, response, { ...services, path: path.slice("/rest/v1".length), query });
    } else if (isBelow(path, "/realtime/v1/api")) {
      await services.realtime.answer(request, response, path.slice("/realtime/v1/api".length));
    } else if (path === "/health") {
      await answerHealth(response, services);
    } else if (path === "/metrics") {
      const isLoopback = ["127.0.0.1", "::1", "localhost"].includes(this.#options.host);
      await answerMetrics(request, response, { ...services, isLoopback });
    } else {
      answerOther(response, path);
    }
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const [path] = splitOnce(request.url ?? "/", "?");
    if (this.#services !== undefined && path === "/realtime/v1/websocket") {
      this.#services.realtime.upgrade(request, socket, head);
      return;
    }
    socket.on("error", () => socket.destroy());
    const status = this.#services === undefined ? "503 Service Unavailable" : "404 Not Found";
    socket.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);
  }

  #failed(response: ServerResponse, error: unknown): void {
    if (response.destroyed) return; // the client went away while it sent its body
    this.#options.log("error", "a request failed", { error: String(error) });
    if (response.headersSent) response.destroy();
    else sendJson(response, 500, { message: "The local Supabase failed to answer; its log says why" });
  }
}

/** What a project has and the stack has not, by the first part of its path. */
const absent: Readonly<Record<string, string>> = {
  auth: "Auth: mint tokens with mintToken() or any JWT library and the JWT secret",
  storage: "Storage",
  functions: "Edge Functions",
  graphql: "GraphQL",
};

function answerOther(response: ServerResponse, path: string): void {
  const service = Object.entries(absent).find(([name]) => isBelow(path, `/${name}/v1`))?.[1];
  if (service !== undefined) {
    sendJson(response, 404, {
      code: "not_part_of_local_stack",
      message: `The local stack has no ${service}`,
    });
  } else if (path === "/") {
    sendJson(response, 200, { message: "A local Supabase", rest: "/rest/v1", realtime: "/realtime/v1" });
  } else {
    sendJson(response, 404, { message: "no Route matched with those values" });
  }
}

function isBelow(path: string, root: string): boolean {
  return path === root || path.startsWith(`${root}/`);
}

function splitOnce(text: string, separator: string): [string, string?] {
  const at = text.indexOf(separator);
  return at === -1 ? [text] : [text.slice(0, at), text.slice(at + 1)];
}

function bindFailed(host: string, port: number, cause: NodeJS.ErrnoException): LocalSupabaseError {
  if (cause.code === "EADDRINUSE") {
    return new LocalSupabaseError("port-taken", `listen on ${host}:${port}: something else listens there`, {
      remedy: "End that program, or choose another port (0 takes any that is free).",
      cause,
    });
  }
  return new LocalSupabaseError("option", `listen on ${host}:${port}: ${cause.message}`, {
    remedy: "Choose an address of this machine and a port that you may use.",
    cause,
  });
}
