import { readFileSync } from "node:fs";

/** One line of a recorded session with a real server. */
export interface TranscriptLine {
  readonly ms: number;
  readonly dir: string;
  readonly conn?: string;
  readonly [field: string]: unknown;
}

export interface Transcript {
  readonly scenario: string;
  readonly recordedAtMs: number;
  readonly lines: readonly TranscriptLine[];
}

export function readTranscript(file: URL): Transcript {
  const [meta, ...lines] = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line) as TranscriptLine); // the files are ours
  return {
    scenario: String(meta?.["scenario"]),
    recordedAtMs: Date.parse(String(meta?.["recorded"])),
    lines,
  };
}

/** A frame in a form that is the same for both protocol versions; 1.0.0 has no `joinRef` from the server. */
export type CanonicalFrame = Readonly<Record<string, unknown>>;

export function canonicalFrame(data: string | Buffer): CanonicalFrame {
  return typeof data === "string" ? canonicalText(data) : canonicalBinary(data);
}

/** The frame of a `send` or `recv` line. */
export function frameOf(line: TranscriptLine): string | Buffer {
  return typeof line["hex"] === "string" ? Buffer.from(line["hex"], "hex") : String(line["frame"]);
}

/** What differs from run to run made equal: made-up ids, presence refs, ages of tokens, ids of row subscriptions. */
export function masked(value: unknown): unknown {
  if (typeof value === "string") return maskText(value);
  if (Array.isArray(value)) return value.map(masked);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, member]): [string, unknown] => {
    if (key === "commit_timestamp" && typeof member === "string") return [key, "<time>"];
    if (key === "ids" && Array.isArray(member)) return [key, `${member.length} ids`];
    if (key === "phx_ref" || key === "phx_ref_prev") return [key, "<ref>"];
    if (key === "postgres_changes" && Array.isArray(member)) return [key, member.map(withoutId)];
    return [maskText(key), masked(member)];
  });
  // Masked keys may be equal, so this is a list of pairs and no object.
  return entries.map(([key, member]) => `${JSON.stringify(key)}:${JSON.stringify(member)}`).toSorted();
}

export function isSubset(part: unknown, whole: unknown): boolean {
  if (typeof part !== "object" || part === null) return Object.is(part, whole);
  if (typeof whole !== "object" || whole === null) return false;
  return Object.entries(part).every(([key, member]) =>
    isSubset(member, (whole as Record<string, unknown>)[key]),
  ); // an object
}

function canonicalText(text: string): CanonicalFrame {
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return { unreadable: true, text };
  }
  if (Array.isArray(parsed)) {
    const [joinRef, ref, topic, event, payload] = parsed as unknown[];
    return { joinRef, ref, topic, event, payload };
  }
  return typeof parsed === "object" && parsed !== null ? { ...parsed } : { unreadable: true, text };
}

function canonicalBinary(data: Buffer): CanonicalFrame {
  const [kind, topicSize = 0, eventSize = 0, metaSize = 0, encoding] = data;
  if (kind !== 4) return { kind, hex: data.toString("hex") };
  const at = (from: number, size: number): string => data.toString("utf8", 5 + from, 5 + from + size);
  const metaText = at(topicSize + eventSize, metaSize);
  const payload = data.subarray(5 + topicSize + eventSize + metaSize);
  return {
    kind,
    topic: at(0, topicSize),
    userEvent: at(topicSize, eventSize),
    meta: metaText === "" ? "" : (JSON.parse(metaText) as unknown),
    encoding,
    payload: encoding === 1 ? readPayload(payload) : payload.toString("hex"),
  };
}

function readPayload(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch {
    return { unreadable: true, text: bytes.toString("utf8") };
  }
}

function withoutId(entry: unknown): unknown {
  if (typeof entry !== "object" || entry === null) return entry;
  const { id, ...rest } = entry as Record<string, unknown>; // an object
  return masked({ ...rest, id: typeof id === "number" && id > 0 ? "<id>" : id });
}

function maskText(text: string): string {
  return text
    .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g, "<uuid>")
    .replaceAll(/expired \d+ seconds ago/g, "expired <n> seconds ago");
}
