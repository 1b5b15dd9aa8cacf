import { request as httpRequest, type IncomingMessage } from "node:http";
import { isDeepStrictEqual } from "node:util";
import { contentOf, deviate, isAllowed, type Deviation } from "./deviations.ts";
import { RawSocket } from "./raw-socket.ts";
import type { TestClock } from "./test-clock.ts";
import type { TestServer } from "./test-server.ts";
import {
  canonicalFrame,
  frameOf,
  masked,
  type CanonicalFrame,
  type Transcript,
  type TranscriptLine,
} from "./transcript.ts";

export interface ReplayParts {
  readonly transcript: Transcript;
  readonly server: TestServer;
  readonly clock: TestClock;
  readonly deviations: readonly Deviation[];
  readonly useDeviation: (id: string) => void;
  /** The replay ends before the note with this text. */
  readonly until?: string;
}

/** How long a frame that was recorded may fail to come before it counts as missing. */
const MISSING_AFTER_MS = 10_000;

/**
 * Does what the recorded clients did and compares what they get. Order is compared per connection and topic; presence
 * frames may come before or after others, and in any order among themselves. Answers the differences.
 */
export async function replay(parts: ReplayParts): Promise<readonly string[]> {
  const run = new Replay(parts);
  return await run.all();
}

interface Conn {
  readonly socket: RawSocket;
  readonly version: "1.0.0" | "2.0.0";
}

class Replay {
  readonly #parts: ReplayParts;
  readonly #conns = new Map<string, Conn>();
  readonly #differences: string[] = [];
  readonly #pending: TranscriptLine[] = [];
  /** Topics that something was pushed to since the last comparison. */
  readonly #touched = new Map<Conn, Set<string>>();
  readonly #responses = new Map<string, Promise<HttpAnswer>>();
  #feedWatcher: RawSocket | undefined;

  constructor(parts: ReplayParts) {
    this.#parts = parts;
  }

  async all(): Promise<readonly string[]> {
    const { transcript, deviations, useDeviation, until } = this.#parts;
    if (transcript.lines.some(({ dir }) => dir === "sql")) await this.#watchFeed();
    for (const line of beforeTheEnd(transcript.lines)) {
      if (until !== undefined && line["text"] === until) break;
      for (const one of deviate(transcript.scenario, line, deviations, useDeviation)) {
        if (one.dir === "recv") this.#pending.push(one);
        else await this.#act(one);
      }
    }
    await this.#compare();
    await this.#settleFeed();
    for (const [name, { socket, version }] of this.#conns) {
      await socket.settle("phoenix", version);
      for (const frame of socket.received.map(canonicalFrame)) {
        const isExpected = isAllowed(transcript.scenario, name, frame, deviations, useDeviation);
        if (!isExpected) this.#differ(name, "nothing more", frame);
      }
    }
    for (const { socket } of this.#conns.values()) await socket.close();
    await this.#feedWatcher?.close();
    return this.#differences;
  }

  async #act(line: TranscriptLine): Promise<void> {
    await this.#compare();
    const { clock, transcript } = this.#parts;
    clock.moveTo(transcript.recordedAtMs + line.ms);
    const name = line.conn ?? "";
    switch (line.dir) {
      case "connect":
        return this.#connect(line);
      case "open":
        return await this.#expect(name, undefined, await this.#conn(name).socket.opened);
      case "handshake_rejected": {
        const { status, body, content_type: contentType } = line;
        const got = await this.#conn(name).socket.opened;
        this.#conns.delete(name);
        return await this.#expect(name, { status, contentType, body }, got);
      }
      case "send":
        return this.#send(this.#conn(name), atThisTime(frameOf(line), transcript.recordedAtMs + line.ms));
      case "client_close":
        return this.#conn(name).socket.ws.close(1000);
      case "callback": // what a client made of a frame; supabase-js itself is asked elsewhere
        return;
      case "client_terminate":
        return this.#conn(name).socket.ws.terminate();
      case "close": {
        const { code, reason } = line;
        // Recorded clients of the library close without saying so before.
        const { socket } = this.#conn(name);
        if (code === 1005) socket.ws.close();
        await this.#expect(name, { code, reason }, await socket.closed);
        if (code === 1005) socket.received.splice(0); // it does not wait for what it has left
        return;
      }
      case "sql":
        return await this.#runSql(line);
      case "http_request":
        this.#responses.set(name, this.#request(line));
        return;
      case "http_response": {
        const got = await this.#responses.get(name);
        return await this.#expect(name, expectedAnswer(line), got);
      }
      case "note":
        if (line["text"] === "terminating the TCP connection") this.#conn("A").socket.ws.terminate();
        return;
      case "sql_result":
        return;
      default:
        throw new Error(`replay: unknown line ${line.dir}`);
    }
  }

  /** Waits for every frame that is due by now. */
  async #compare(): Promise<void> {
    for (const [conn, topics] of this.#touched)
      for (const topic of topics) await conn.socket.settle(topic, conn.version);
    this.#touched.clear();
    const last = this.#pending.at(-1);
    if (last !== undefined) this.#parts.clock.moveTo(this.#parts.transcript.recordedAtMs + last.ms);
    for (const line of this.#pending.splice(0)) await this.#expectFrame(line);
  }

  async #expectFrame(line: TranscriptLine): Promise<void> {
    const name = line.conn ?? "";
    const { socket, version } = this.#conn(name);
    const { joinRef, ...rest } = contentOf(line);
    const expected = version === "1.0.0" || rest["event"] === undefined ? rest : { joinRef, ...rest };
    const wanted = masked(expected);
    const isPresence = isPresenceFrame(expected);
    const got = await within(
      socket.take((frame) =>
        isPresence
          ? isDeepStrictEqual(masked(frame), wanted)
          : !isPresenceFrame(frame) && frame["topic"] === expected["topic"],
      ),
    );
    if (got === undefined || !isDeepStrictEqual(masked(got), wanted)) this.#differ(name, expected, got);
  }

  async #expect(name: string, expected: unknown, got: unknown): Promise<void> {
    if (!isDeepStrictEqual(masked(got), masked(expected))) this.#differ(name, expected, got);
  }

  #differ(name: string, expected: unknown, got: unknown): void {
    this.#differences.push(`${name}: expected ${JSON.stringify(expected)}, got ${JSON.stringify(got)}`);
  }

  #connect(line: TranscriptLine): void {
    const path = String(line["path"]).replace(/^\/socket/, "/realtime/v1");
    const version = path.includes("vsn=2.0.0") ? "2.0.0" : "1.0.0";
    const headers = (line["headers"] ?? {}) as Record<string, string>; // as recorded
    this.#conns.set(line.conn ?? "", {
      socket: new RawSocket(this.#parts.server.url + path, headers),
      version,
    });
  }

  #send(conn: Conn, frame: string | Buffer): void {
    conn.socket.send(frame);
    const topic = typeof frame === "string" ? canonicalFrame(frame)["topic"] : topicOfPush(frame);
    const touched = this.#touched.get(conn) ?? new Set();
    this.#touched.set(conn, touched.add(typeof topic === "string" ? topic : "phoenix"));
  }

  async #runSql(line: TranscriptLine): Promise<void> {
    const { database } = this.#parts.server;
    const as = line["as"] as { role: string; sub: string } | undefined; // as recorded
    const args = line["args"] as readonly (string | number | null)[] | undefined; // as recorded
    if (args !== undefined) {
      await database.query(
        String(line["sql"]),
        args.map((value) => (value === null ? null : String(value))),
      );
      return;
    }
    if (as === undefined) return await database.exec(String(line["sql"]));
    await database.transaction(async (session) => {
      await session.query("select set_config('request.jwt.claims', $1, true), set_config('role', $2, true)", [
        JSON.stringify(as),
        as.role,
      ]);
      await session.query(String(line["sql"]));
    });
  }

  async #request(line: TranscriptLine): Promise<HttpAnswer> {
    const path = String(line["path"])
      .replace(/^\/socket/, "/realtime/v1")
      .replace(/^\/api/, "/realtime/v1/api");
    const headers = (line["headers"] ?? {}) as Record<string, string>; // as recorded
    return await sendRequest(
      this.#parts.server.url + path,
      String(line["method"]),
      headers,
      bodyOf(line["body"]),
    );
  }

  /** A socket of ours that hears the database too, to know when what was announced has been delivered. */
  async #watchFeed(): Promise<void> {
    const { server } = this.#parts;
    this.#feedWatcher = new RawSocket(
      `${server.url}/realtime/v1/websocket?apikey=${server.keyring.anonKey}&vsn=2.0.0`,
    );
    await this.#feedWatcher.opened;
    this.#feedWatcher.send(JSON.stringify(["1", "1", "realtime:feed-watcher", "phx_join", { config: {} }]));
    await this.#feedWatcher.take(({ event }) => event === "phx_reply");
  }

  async #settleFeed(): Promise<void> {
    if (this.#feedWatcher === undefined) return;
    await this.#parts.server.database.query("select realtime.send('{}', 'settled', 'feed-watcher', false)");
    await this.#feedWatcher.take(({ userEvent }) => userEvent === "settled");
  }

  #conn(name: string): Conn {
    const conn = this.#conns.get(name);
    if (conn === undefined) throw new Error(`replay: no connection ${name}`);
    return conn;
  }
}

/**
 * Without the closing of all connections at the end: who still hears of whose leaving is a race there, and presence-basic
 * has the same in its middle.
 */
function beforeTheEnd(lines: readonly TranscriptLine[]): readonly TranscriptLine[] {
  const isEnding = ({ dir }: TranscriptLine): boolean =>
    dir === "client_close" || dir === "close" || dir === "recv";
  const lastAction = lines.findLastIndex((line) => !isEnding(line));
  const firstClose = lines.findIndex(({ dir }, i) => i > lastAction && dir === "client_close");
  return firstClose === -1 ? lines : lines.slice(0, firstClose);
}

/** Rows have the time of the database: what was asked for since some time before is asked for as long before now. */
function atThisTime(frame: string | Buffer, recordedAtMs: number): string | Buffer {
  if (typeof frame !== "string") return frame;
  return frame.replace(/"since":(\d{13})(?=[,}])/, (_, since: string) => {
    return `"since":${Math.round(Date.now() - (recordedAtMs - Number(since)))}`;
  });
}

function isPresenceFrame(frame: CanonicalFrame): boolean {
  return frame["event"] === "presence_diff" || frame["event"] === "presence_state";
}

function topicOfPush(frame: Buffer): string | undefined {
  const [kind, joinRefSize = 0, refSize = 0, topicSize = 0] = frame;
  const start = 7 + joinRefSize + refSize;
  return kind === 3 && frame.length >= start + topicSize
    ? frame.toString("utf8", start, start + topicSize)
    : undefined;
}

interface HttpAnswer {
  readonly status: number | undefined;
  readonly contentType: string | undefined;
  readonly body: string;
  readonly extensions: string | undefined;
  readonly protocol: string | undefined;
}

function expectedAnswer(line: TranscriptLine): HttpAnswer {
  const headers = (line["headers"] ?? {}) as Record<string, string>; // as recorded
  return {
    status: Number(line["status"]),
    contentType: headers["content-type"],
    body: typeof line["body"] === "string" ? line["body"] : "",
    extensions: headers["sec-websocket-extensions"],
    protocol: headers["sec-websocket-protocol"],
  };
}

/** Recorded bodies are text, bytes, or the beginning and size of a long one whose rest is a run of x. */
function bodyOf(body: unknown): Buffer | undefined {
  if (body === undefined || body === "") return undefined;
  if (typeof body === "string") return Buffer.from(body);
  const { hex, head, bytes } = body as { hex?: string; head?: string; bytes: number };
  if (hex !== undefined) return Buffer.from(hex, "hex");
  const batch = JSON.stringify({
    messages: Array.from({ length: 150 }, (_, i) => ({ topic: "bulk", event: "evt", payload: { i } })),
  });
  if (batch.length === bytes && batch.startsWith(String(head).slice(0, 100))) return Buffer.from(batch);
  const start = String(head).replace(/x+…?$/, "");
  const closing = start.startsWith('{"messages"') ? '"}}]}' : '"}';
  return Buffer.from(`${start}${"x".repeat(bytes - start.length - closing.length)}${closing}`);
}

async function sendRequest(
  url: string,
  method: string,
  given: Record<string, string>,
  body: Buffer | undefined,
): Promise<HttpAnswer> {
  const isUpgrade = url.includes("/websocket");
  const upgrade = {
    connection: "Upgrade",
    upgrade: "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
  };
  const headers = {
    ...(isUpgrade ? upgrade : {}),
    ...given,
    ...(body === undefined ? {} : { "content-length": body.length }),
  };
  return await new Promise((resolve, reject) => {
    const request = httpRequest(url, { method, headers, agent: false });
    request.on("error", reject);
    request.on("upgrade", (response, socket) => {
      socket.destroy();
      resolve(answerOf(response, ""));
    });
    request.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("end", () => resolve(answerOf(response, Buffer.concat(chunks).toString("utf8"))));
    });
    request.end(body);
  });
}

function answerOf({ statusCode, headers }: IncomingMessage, body: string): HttpAnswer {
  return {
    status: statusCode,
    contentType: headers["content-type"],
    body,
    extensions: headers["sec-websocket-extensions"],
    protocol: headers["sec-websocket-protocol"],
  };
}

async function within<T>(promise: Promise<T>): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const missing = new Promise<undefined>(
    (resolve) => (timer = setTimeout(resolve, MISSING_AFTER_MS, undefined)),
  );
  try {
    return await Promise.race([promise, missing]);
  } finally {
    clearTimeout(timer);
  }
}
