import type { IncomingMessage, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import { databaseAuthorization } from "./authorization/database-authorization.ts";
import { TOPIC_PREFIX } from "./channel/join.ts";
import { startDatabaseFeed } from "./database-feed/database-feed.ts";
import { ProjectLimits } from "./limits/project-limits.ts";
import { Metrics, renderMetrics } from "./metrics/metrics.ts";
import { storeMessage } from "./persist/store-message.ts";
import { createRowChanges } from "./postgres-changes/create-row-changes.ts";
import type { Realtime, RealtimeParts } from "./realtime.ts";
import { readStored } from "./replay/read-stored.ts";
import { answerRest } from "./rest/realtime-rest.ts";
import { Rooms } from "./rooms.ts";
import type { ServerParts } from "./server-parts.ts";
import { defaultSettings, withLimits } from "./settings.ts";
import { Connection } from "./socket/connection.ts";
import {
  checkUpgrade,
  policyHeaders,
  refusalOf,
  refuseUpgrade,
  type UpgradeRefusal,
} from "./socket/upgrade.ts";

/** Resolves when sockets can be served and messages of the database are listened to. */
export async function createRealtime(parts: RealtimeParts): Promise<Realtime> {
  const settings = withLimits({ ...defaultSettings, ...parts.settings });
  const { limits: figures } = settings;
  const limits = figures === undefined ? undefined : new ProjectLimits(figures, parts.clock);
  const server: ServerParts = {
    settings,
    limits,
    metrics: new Metrics(),
    readStored: (request) =>
      readStored(parts.database, request).catch((error: unknown) => {
        parts.log("error", "realtime: stored messages could not be read", { reason: String(error) });
        return undefined;
      }),
    storeMessage: (message) => storeMessage(parts.database, message, parts.log),
    clock: parts.clock,
    keyring: parts.keyring,
    rooms: new Rooms(),
    authorization: await databaseAuthorization(parts.database, parts.log),
    rowChanges: await createRowChanges(parts),
    log: parts.log,
  };
  const stopFeed = await startDatabaseFeed({
    database: parts.database,
    clock: parts.clock,
    log: parts.log,
    deliver: ({ subTopic, isPrivate, broadcast }) => {
      if (limits?.isOverMessages === true) {
        server.metrics.droppedDatabaseBroadcasts++; // nobody is told, as on a hosted project
        return;
      }
      server.metrics.broadcastsFromDatabase++;
      limits?.countSent();
      server.rooms.find(TOPIC_PREFIX + subTopic, isPrivate)?.broadcast(broadcast);
    },
  });
  return new RealtimeServer(server, stopFeed, parts.database);
}

class RealtimeServer implements Realtime {
  readonly #server: ServerParts;
  readonly #sockets: WebSocketServer;
  readonly #connections = new Set<Connection>();
  readonly #stopFeed: () => Promise<void>;
  readonly #database: RealtimeParts["database"];
  #closing: Promise<void> | undefined;

  constructor(server: ServerParts, stopFeed: () => Promise<void>, database: RealtimeParts["database"]) {
    this.#database = database;
    this.#server = server;
    this.#stopFeed = stopFeed;
    this.#sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: server.settings.maxFrameBytes,
      skipUTF8Validation: true, // text that is no UTF-8 is a frame like any other that does not parse: ignored
      handleProtocols: () => false,
    });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    socket.on("error", ignore); // until `ws` listens; a client that is gone is nobody to answer
    void this.#accept(request, socket, head).catch((error: unknown) => {
      this.#server.log("error", "realtime: an upgrade failed", { reason: String(error) });
      socket.destroy();
    });
  }

  async answer(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    await answerRest(request, response, path, this.#server);
  }

  get isServing(): boolean {
    return this.#closing === undefined;
  }

  metrics(): string {
    return renderMetrics(this.#server.metrics);
  }

  async askDatabase(): Promise<boolean> {
    const { rows } = await this.#database.query("select 1");
    return rows.length === 1;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #accept(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (this.#closing !== undefined)
      return refuseUpgrade(socket, refusalOf(500, "Error connecting to Realtime"));
    const checked = await checkUpgrade(request, this.#server.keyring);
    if ("refusal" in checked) return this.#refuse(socket, checked.refusal);
    if (this.#server.limits?.isFull === true)
      return this.#refuse(socket, refusalOf(429, "Too many connected users"));
    if (socket.destroyed || this.#closing !== undefined) return void socket.destroy();
    const { codec, token } = checked;
    this.#sockets.handleUpgrade(request, socket, head, (ws) => {
      socket.off("error", ignore);
      const connection = new Connection({
        ws,
        socket,
        codec,
        token,
        headers: policyHeaders(request),
        server: this.#server,
        onClosed: (closed) => this.#connections.delete(closed),
      });
      this.#connections.add(connection);
    });
  }

  #refuse(socket: Duplex, refusal: UpgradeRefusal): void {
    const delayMs = refusal.isDelayed ? this.#server.settings.upgradeRefusalDelayMs : 0;
    if (delayMs === 0) refuseUpgrade(socket, refusal);
    else this.#server.clock.after(delayMs, () => refuseUpgrade(socket, refusal));
  }

  async #close(): Promise<void> {
    const connections = [...this.#connections];
    for (const connection of connections) connection.sayGoodbye();
    for (const connection of connections) connection.close(1012);
    const cancel = this.#server.clock.after(this.#server.settings.closeGraceMs, () => {
      for (const connection of this.#connections) connection.terminate();
    });
    await Promise.all(connections.map((connection) => connection.closed));
    cancel();
    await this.#stopFeed();
    await this.#server.rowChanges.close();
    this.#sockets.close();
  }
}

function ignore(): void {}
