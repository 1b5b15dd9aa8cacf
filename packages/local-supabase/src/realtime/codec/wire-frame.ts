/**
 * A whole WebSocket frame as it goes to the wire, header included. Made once for all receivers of a broadcast:
 * servers do not mask, so the bytes are the same for everybody. Source: RFC 6455, section 5.2.
 */
export type WireFrame = Buffer;

const FINAL_TEXT = 0x81;
const FINAL_BINARY = 0x82;

export function textFrame(text: string): WireFrame {
  const size = Buffer.byteLength(text);
  const start = headerSize(size);
  const frame = Buffer.allocUnsafe(start + size);
  writeHeader(frame, FINAL_TEXT, size);
  frame.write(text, start);
  return frame;
}

/** `fill` writes the body of `size` bytes at the offset it is given. */
export function binaryFrame(size: number, fill: (frame: Buffer, start: number) => void): WireFrame {
  const start = headerSize(size);
  const frame = Buffer.allocUnsafe(start + size);
  writeHeader(frame, FINAL_BINARY, size);
  fill(frame, start);
  return frame;
}

function headerSize(size: number): number {
  if (size < 126) return 2;
  return size < 65_536 ? 4 : 10;
}

function writeHeader(frame: Buffer, first: number, size: number): void {
  frame[0] = first;
  if (size < 126) {
    frame[1] = size;
  } else if (size < 65_536) {
    frame[1] = 126;
    frame.writeUInt16BE(size, 2);
  } else {
    frame[1] = 127;
    frame.writeBigUInt64BE(BigInt(size), 2);
  }
}
