import type { Random } from "./random.ts";
import { anyObject, anyValue, deepJson, oddText } from "./values.ts";

/** What one socket sends at once, as bytes on the wire. */
export interface HostileFrame {
  readonly kind: FrameKind;
  readonly bytes: Buffer;
  /** The server has to close the socket on it, or cannot read on. */
  readonly endsSocket: boolean;
}

export type FrameKind =
  | "broken frame"
  | "control frame"
  | "fragments"
  | "bytes as text"
  | "JSON of no message"
  | "mutated message"
  | "binary"
  | "right join"
  | "join"
  | "private join"
  | "join for rows"
  | "leave"
  | "presence"
  | "broadcast"
  | "token"
  | "odd event"
  | "heartbeat";

/** Who speaks: the protocol of its socket and the tokens that it knows. */
export interface Speaker {
  readonly vsn: "1.0.0" | "2.0.0";
  readonly tokens: readonly [string, ...string[]];
  readonly topics: readonly [string, ...string[]];
}

/** Of 1,000 frames so many are of this kind. What asks the database is rare: it is asked one by one. */
const shares: readonly (readonly [FrameKind, number])[] = [
  ["broken frame", 2],
  ["control frame", 20],
  ["fragments", 10],
  ["right join", 40],
  ["bytes as text", 110],
  ["JSON of no message", 130],
  ["mutated message", 180],
  ["binary", 150],
  ["join", 66],
  ["private join", 4],
  ["join for rows", 4],
  ["leave", 20],
  ["presence", 30],
  ["broadcast", 156],
  ["token", 8],
  ["odd event", 60],
  ["heartbeat", 10],
];

/** The next frame of a speaker: hostile, or half valid, or now and then simply right. */
export function hostileFrame(random: Random, speaker: Speaker): HostileFrame {
  let at = random.below(1_000);
  const [kind] = shares.find(([, share]) => (at -= share) < 0) ?? ["heartbeat"];
  switch (kind) {
    case "broken frame":
      return { kind, bytes: brokenFrame(random), endsSocket: true };
    case "control frame":
      return {
        kind,
        bytes: frame(random.pick([0x89, 0x8a]), random.bytes(random.below(126))),
        endsSocket: false,
      };
    case "fragments":
      return { kind, bytes: fragments(random, speaker), endsSocket: false };
    case "bytes as text":
      return text(kind, random.bytes(random.below(200)));
    case "JSON of no message":
      return text(kind, random.chance(0.05) ? deepJson(random) : JSON.stringify(anyValue(random)));
    case "mutated message":
      return text(kind, mutated(random, Buffer.from(someMessage(random, speaker))));
    case "binary":
      return { kind, bytes: frame(0x82, binaryPush(random, speaker)), endsSocket: false };
    case "right join":
      return rightJoin(random.pick(speaker.topics), speaker.vsn);
    case "join":
    case "private join":
    case "join for rows":
    case "leave":
    case "presence":
    case "broadcast":
    case "token":
    case "odd event":
    case "heartbeat":
      return text(kind, message(random, speaker, kind));
  }
}

type MessageKind =
  | "join"
  | "private join"
  | "join for rows"
  | "leave"
  | "presence"
  | "broadcast"
  | "token"
  | "odd event"
  | "heartbeat";

function someMessage(random: Random, speaker: Speaker): string {
  return message(
    random,
    speaker,
    random.pick(["join", "leave", "presence", "broadcast", "token", "heartbeat"]),
  );
}

/** A message that the server understands, about values that it may not. */
function message(random: Random, { vsn, tokens, topics }: Speaker, kind: MessageKind): string {
  const joinRef = random.pick<unknown>(["1", "1", "1", "2", null, 1]);
  const ref = random.pick<unknown>(["5", "6", 7, null]);
  const topic =
    kind === "heartbeat" ? "phoenix" : random.chance(0.95) ? random.pick(topics) : oddText(random);
  const said: readonly [event: unknown, payload: unknown] = sayings[kind](random, tokens);
  return vsn === "1.0.0"
    ? JSON.stringify({ topic, event: said[0], payload: said[1], ref, join_ref: joinRef })
    : JSON.stringify([joinRef, ref, topic, ...said]);
}

type Saying = (random: Random, tokens: readonly [string, ...string[]]) => readonly [unknown, unknown];

const sayings: Readonly<Record<MessageKind, Saying>> = {
  join: (random, tokens) => ["phx_join", joinPayload(random, tokens, {})],
  "private join": (random, tokens) => ["phx_join", joinPayload(random, tokens, { isPrivate: true })],
  "join for rows": (random, tokens) => {
    const entries = Array.from({ length: 1 + random.below(3) }, () => rowEntry(random));
    return ["phx_join", joinPayload(random, tokens, { entries })];
  },
  leave: () => ["phx_leave", {}],
  presence: (random) => {
    const event = random.pick<unknown>([
      "track",
      "track",
      "UNTRACK",
      "untrack",
      oddText(random),
      anyValue(random),
    ]);
    return [
      "presence",
      { type: "presence", event, payload: random.chance(0.8) ? anyObject(random) : anyValue(random) },
    ];
  },
  broadcast: (random) => {
    const said = random.chance(0.1) ? "x".repeat(40_000 + random.below(20_000)) : anyValue(random);
    const payload = { type: "broadcast", event: oddText(random), payload: said };
    return [
      "broadcast",
      random.pick<unknown>([payload, payload, { ...payload, ids: [1] }, anyValue(random)]),
    ];
  },
  token: (random, tokens) => [
    "access_token",
    random.pick<unknown>([
      { access_token: random.pick(tokens) },
      { access_token: oddText(random) },
      anyValue(random),
    ]),
  ],
  "odd event": (random) => [
    random.pick<unknown>(["phx_close", "phx_reply", "system", oddText(random), 7]),
    anyValue(random),
  ],
  heartbeat: () => ["heartbeat", {}],
};

function joinPayload(
  random: Random,
  tokens: readonly [string, ...string[]],
  {
    isPrivate = false,
    entries = [],
  }: { readonly isPrivate?: boolean; readonly entries?: readonly unknown[] },
): unknown {
  if (random.chance(0.1)) return anyValue(random);
  const maybe = (value: unknown): unknown => (random.chance(0.9) ? value : anyValue(random));
  const replay = random.chance(0.3)
    ? { since: random.pick([0, -1, 1.5, 1e15]), limit: random.below(200) }
    : undefined;
  return {
    config: maybe({
      broadcast: maybe({ ack: maybe(random.chance(0.5)), self: maybe(random.chance(0.3)), replay }),
      presence: maybe({ key: maybe(oddText(random)), enabled: maybe(random.chance(0.5)) }),
      postgres_changes: maybe(entries),
      postgres_changes_options: { wait: maybe(random.chance(0.3)), timeout: maybe(random.below(1_000)) },
      private: isPrivate ? true : random.pick<unknown>([false, false, null, "FALSE"]),
    }),
    ...(random.chance(0.7) ? { access_token: maybe(random.pick(tokens)) } : {}),
  };
}

/** Rows of a table that is there, or not, with a filter that can be meant, or not. */
function rowEntry(random: Random): unknown {
  const filters = [
    "id=gt.0",
    "body=like.a*",
    "body=in.(a,b)",
    "not=a.filter",
    "id=eq.x",
    "body=match.(",
    "a=eq.1,b=is.null",
  ] as const;
  return {
    event: random.pick<unknown>(["*", "INSERT", "update", oddText(random)]),
    schema: random.pick(["public", "public", "*", oddText(random)]),
    table: random.pick<unknown>(["changes", "changes", "*", oddText(random), null]),
    ...(random.chance(0.5) ? { filter: random.chance(0.8) ? random.pick(filters) : anyValue(random) } : {}),
    ...(random.chance(0.2)
      ? { select: random.pick<unknown>([["id"], ["id", "nope"], anyValue(random)]) }
      : {}),
  };
}

/** Kind 3 with a header that fits, or not; or another kind. */
function binaryPush(random: Random, { topics }: Speaker): Buffer {
  if (random.chance(0.2)) return random.bytes(random.below(100));
  const topic = random.pick(topics);
  const meta = random.pick(["", "", "", '{"persist":true}', '{"persist":{"ttl":0}}', "{", oddText(random)]);
  const payload = random.chance(0.6)
    ? JSON.stringify(anyValue(random))
    : random.bytes(random.below(300)).toString("latin1");
  const parts = ["1", "5", topic, oddText(random), meta].map((part) => Buffer.from(part).subarray(0, 255));
  const kind = random.chance(0.9) ? 3 : random.below(256);
  const push = Buffer.concat([
    Buffer.from([kind, ...parts.map(({ length }) => length), random.pick([0, 1, 1, 255])]),
    ...parts,
    Buffer.from(payload),
  ]);
  return random.chance(0.3) ? mutated(random, push) : push;
}

function mutated(random: Random, bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  for (let flips = 1 + random.below(3); flips > 0 && copy.length > 0; flips--)
    copy[random.below(copy.length)] = random.below(256);
  return random.chance(0.3) ? copy.subarray(0, random.below(copy.length + 1)) : copy;
}

/** One message in pieces, a control frame between them, and now and then without its end. */
function fragments(random: Random, speaker: Speaker): Buffer {
  const whole = Buffer.from(someMessage(random, speaker));
  const at = random.below(whole.length);
  return Buffer.concat([
    frame(0x01, whole.subarray(0, at)),
    ...(random.chance(0.5) ? [frame(0x89, Buffer.alloc(0))] : []),
    frame(0x80, whole.subarray(at)),
  ]);
}

/** RFC 6455 forbids all of these, or they announce more than ever comes. */
function brokenFrame(random: Random): Buffer {
  const body = random.bytes(random.below(50));
  return random.pick<() => Buffer>([
    () => frame(0x80 | random.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]), body),
    () => frame(0x81 | random.pick([0x10, 0x20, 0x40]), body),
    () => Buffer.concat([Buffer.from([0x81, body.length]), body]), // not masked
    () => frame(0x80, body), // a continuation of nothing
    () => frame(0x09, body), // a control frame in pieces
    () => Buffer.concat([Buffer.from([0x89, 0xfe, 0, 200, 0, 0, 0, 0]), Buffer.alloc(200)]), // and one too long
    () => Buffer.concat([Buffer.from([0x81, 0xff, 0x7f]), random.bytes(11)]), // exabytes to come
    () => Buffer.concat([Buffer.from([0x82, 0xfe, 0xff, 0xff]), random.bytes(20)]), // the rest never comes
    () => frame(0x88, Buffer.concat([Buffer.from([random.below(256), random.below(256)]), body])),
    () => random.bytes(1 + random.below(100)),
  ])();
}

function text(kind: FrameKind, body: string | Buffer): HostileFrame {
  return { kind, bytes: frame(0x81, Buffer.from(body)), endsSocket: false };
}

/** A join that is right in everything. */
export function rightJoin(topic: string, vsn: Speaker["vsn"]): HostileFrame {
  const payload = { config: { broadcast: { self: true }, presence: { enabled: true } } };
  const message =
    vsn === "1.0.0"
      ? { topic, event: "phx_join", payload, ref: "1", join_ref: "1" }
      : ["1", "1", topic, "phx_join", payload];
  return { kind: "right join", bytes: textFrame(message), endsSocket: false };
}

export function textFrame(message: unknown): Buffer {
  return frame(0x81, Buffer.from(JSON.stringify(message)));
}

/** A whole frame of a client, masked with zeros. */
export function frame(first: number, body: Buffer): Buffer {
  const size = body.length;
  const header = size < 126 ? [first, 0x80 | size] : [first, 0xfe, size >> 8, size & 0xff];
  return Buffer.concat([Buffer.from([...header, 0, 0, 0, 0]), body]);
}
