import { randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";

/** Where a frame's body lies in what was read from the socket. */
export type OnBody = (read: Buffer, start: number, end: number) => void;

/**
 * The least a WebSocket client can be, so that on a machine of two cores the server is what is measured: it reads frame
 * headers and hands on where bodies lie, and masks what it sends with zeros, so that nothing has to be changed in it.
 */
export class WireClient {
  readonly #socket: Socket;
  onBinary: OnBody = ignore;
  onText: OnBody = ignore;
  onClose: (reason: string) => void = () => {};
  /** The beginning of a frame that is not whole yet. */
  #rest: Buffer | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** Opens a socket on protocol 2.0.0. Rejects with the answer's first line where it is no upgrade. */
  static async connect(url: string, apikey: string): Promise<WireClient> {
    const { hostname, port } = new URL(url);
    const socket = connect({ host: hostname, port: Number(port), noDelay: true });
    const client = new WireClient(socket);
    socket.write(
      `GET /realtime/v1/websocket?apikey=${apikey}&vsn=2.0.0 HTTP/1.1\r\nhost: ${hostname}:${port}\r\n` +
        `connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n` +
        `sec-websocket-key: ${randomBytes(16).toString("base64")}\r\n\r\n`,
    );
    await new Promise<void>((resolve, reject) => {
      socket.once("error", reject);
      socket.once("close", () => reject(new Error("the server closed the connection during the upgrade")));
      socket.once("data", (data) => {
        const head = data.toString("latin1");
        if (head.startsWith("HTTP/1.1 101 ") && head.endsWith("\r\n\r\n")) resolve();
        else reject(new Error(`upgrade: ${head.split("\r\n", 1)[0] ?? ""}`));
      });
    });
    socket.on("data", (data) => client.#read(data));
    socket.on("error", (error) => client.onClose(error.message));
    socket.on("close", () => client.onClose("closed by the server"));
    return client;
  }

  /** Whole frames, made by `clientFrame`. */
  write(frames: Buffer): void {
    this.#socket.write(frames);
  }

  sendText(message: unknown): void {
    this.write(clientFrame(0x81, Buffer.from(JSON.stringify(message))));
  }

  destroy(): void {
    this.onClose = () => {};
    this.#socket.destroy();
  }

  #read(data: Buffer): void {
    const read = this.#rest === undefined ? data : Buffer.concat([this.#rest, data]);
    let at = 0;
    while (at + 2 <= read.length) {
      const short = read[at + 1] ?? 0;
      const header = short < 126 ? 2 : short === 126 ? 4 : 10;
      if (at + header > read.length) break;
      const size =
        short < 126
          ? short
          : short === 126
            ? read.readUInt16BE(at + 2)
            : Number(read.readBigUInt64BE(at + 2));
      const end = at + header + size;
      if (end > read.length) break;
      if (read[at] === 0x82) this.onBinary(read, at + header, end);
      else if (read[at] === 0x81) this.onText(read, at + header, end);
      else this.onClose(`the server sent a frame of kind 0x${(read[at] ?? 0).toString(16)}`);
      at = end;
    }
    this.#rest = at === read.length ? undefined : read.subarray(at);
  }
}

/** A whole frame of a client. Bodies of 65,536 bytes and more are not needed here. */
export function clientFrame(first: number, body: Buffer): Buffer {
  const header =
    body.length < 126 ? [first, 0x80 | body.length] : [first, 0xfe, body.length >> 8, body.length & 0xff];
  return Buffer.concat([Buffer.from([...header, 0, 0, 0, 0]), body]);
}

function ignore(): void {}
