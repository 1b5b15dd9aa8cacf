import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBinaryPush, encodeUserBroadcast, isJsonBytes } from "./binary.ts";
import { codecV1, codecV2, type Codec } from "./codec.ts";
import { arrayElementText, objectMemberText } from "./json-text.ts";
import type { Message, Scalar, TextPush } from "./message.ts";
import { binaryFrame, textFrame } from "./wire-frame.ts";

const scalar: fc.Arbitrary<Scalar> = fc.oneof(
  fc.string({ unit: "grapheme" }),
  fc.integer(),
  fc.constant(null),
);
const spacing = fc.constantFrom(0, 1, "\t", "\n ");
const codecs = [codecV1, codecV2];

describe.each(codecs)("protocol $version", (codec: Codec) => {
  test("decoding never throws, whatever the bytes", () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.boolean(),
        (bytes, isBinary) => void codec.decode(Buffer.from(bytes), isBinary),
      ),
    );
    fc.assert(fc.property(fc.string(), (text) => void codec.decode(Buffer.from(text), false)));
    fc.assert(fc.property(fc.json(), (text) => void codec.decode(Buffer.from(text), false)));
  });

  test("what was encoded is decoded to the same message", () => {
    fc.assert(
      fc.property(
        scalar,
        scalar,
        scalar,
        fc.string(),
        fc.json(),
        (joinRef, ref, topic, event, payloadJson) => {
          const message: Message = { joinRef, ref, topic, event, payloadJson };
          const push = text(codec.decode(Buffer.from(codec.encode(message)), false));
          const { joinRef: gotJoinRef, kind: _kind, frame: _frame, ...got } = push;
          expect(got).toEqual({ ref, topic, event, payload: JSON.parse(payloadJson) });
          expect(gotJoinRef).toBe(codec === codecV2 ? joinRef : null); // the server leaves it out on 1.0.0
          expect(codec.payloadText(push)).toBe(payloadJson.trim());
        },
      ),
    );
  });

  test("a payload keeps the bytes it was written with", () => {
    fc.assert(
      fc.property(fc.jsonValue(), spacing, (payload, indent) => {
        const written = JSON.stringify(payload, null, indent);
        const frame =
          codec === codecV2
            ? `[ "1" ,\n"2","a\\"]","e", ${written}\t, "more" ]`
            : `{ "x":[{}],"payload" : 0,"p\\u0061yload"\n: ${written} ,"topic":"a\\"}","event":"e","ref":"2","join_ref":"1"}`;
        const push = text(codec.decode(Buffer.from(frame), false));
        expect(codec.payloadText(push)).toBe(written);
        expect(push.payload).toEqual(JSON.parse(written));
      }),
    );
  });

  test.each([
    "",
    "not json",
    "{}",
    "[]",
    "[1]",
    "null",
    "42",
    '"x"',
    '[[],"1","t","e",{}]',
    '{"topic":{},"event":"e","payload":{},"ref":"1"}',
  ])("%j is no message", (frame) => expect(codec.decode(Buffer.from(frame), false)).toBeUndefined());

  test("text that is not UTF-8 is no message", () => {
    const frame = Buffer.from(
      codec.encode({ joinRef: "1", ref: "1", topic: "t", event: "e", payloadJson: '"?"' }),
    );
    frame[frame.lastIndexOf("?")] = 0xff;
    expect(codec.decode(frame, false)).toBeUndefined();
  });
});

test("1.0.0 needs topic, event, payload and ref, and no join_ref", () => {
  const whole = { topic: "phoenix", event: "heartbeat", payload: {}, ref: 12 };
  expect(codecV1.decode(Buffer.from(JSON.stringify(whole)), false)).toMatchObject({ ref: 12, joinRef: null });
  for (const missing of ["topic", "event", "payload", "ref"]) {
    const frame = JSON.stringify({ ...whole, [missing]: undefined });
    expect(codecV1.decode(Buffer.from(frame), false)).toBeUndefined();
  }
});

describe("binary messages", () => {
  const short = fc.string({ unit: "grapheme" }).filter((value) => Buffer.byteLength(value) <= 255);
  const bytes = fc.uint8Array({ maxLength: 400 }).map((value) => Buffer.from(value));

  test("a pushed broadcast (kind 3) is read as it was written", () => {
    fc.assert(
      fc.property(
        short,
        short,
        short,
        short,
        short,
        fc.boolean(),
        bytes,
        (joinRef, ref, topic, userEvent, meta, isJson, payload) => {
          const frame = encodePush({ joinRef, ref, topic, userEvent, meta, isJson, payload });
          expect(decodeBinaryPush(frame)).toEqual({
            kind: "binary",
            joinRef: joinRef === "" ? null : joinRef,
            ref: ref === "" ? null : ref,
            topic,
            userEvent,
            isJson,
            metaJson: meta,
            payload,
          });
        },
      ),
    );
  });

  test("a truncated push is no message", () => {
    const whole = encodePush({
      joinRef: "1",
      ref: "2",
      topic: "realtime:t",
      userEvent: "e",
      meta: "{}",
      isJson: true,
      payload: Buffer.alloc(0),
    });
    for (let size = 0; size < whole.length; size++)
      expect(decodeBinaryPush(whole.subarray(0, size))).toBeUndefined();
  });

  test("a broadcast (kind 4) says topic, event, metadata and payload", () => {
    fc.assert(
      fc.property(
        short,
        short,
        short,
        fc.constantFrom("json" as const, "bytes" as const),
        bytes,
        (topic, event, metaJson, form, payload) => {
          const frame = encodeUserBroadcast(topic, { form, event, metaJson, payload });
          expect(frame && decodeBroadcast(unframe(frame))).toEqual({
            topic,
            event,
            metaJson,
            isJson: form === "json",
            payload,
          });
        },
      ),
    );
  });

  test("what does not fit into one-byte lengths goes as text", () => {
    const broadcast = {
      form: "json",
      event: "e".repeat(256),
      payload: Buffer.from("[1]"),
      metaJson: '{"id":"x"}',
    } as const;
    const frame = codecV2.encodeBroadcast("realtime:t", broadcast);
    const payload = { event: broadcast.event, meta: { id: "x" }, payload: [1], type: "broadcast" };
    expect(JSON.parse(String(frame && unframe(frame)))).toEqual([
      null,
      null,
      "realtime:t",
      "broadcast",
      payload,
    ]);
  });

  test("raw bytes are not said on 1.0.0", () => {
    const broadcast = { form: "bytes", event: "e", payload: Buffer.from([0, 1]), metaJson: "" } as const;
    expect(codecV1.encodeBroadcast("realtime:t", broadcast)).toBeUndefined();
  });

  test("only one whole JSON value in UTF-8 passes as JSON", () => {
    const no = ["", "{not json", "1,2", '{}},"event":"phx_error","x":{"y":1'].map((value) =>
      Buffer.from(value),
    );
    expect([...no, Buffer.from([0x22, 0xff, 0x22])].map(isJsonBytes)).not.toContain(true);
    fc.assert(fc.property(fc.json(), (value) => isJsonBytes(Buffer.from(value))));
  });
});

test("a frame header says the size of its body", () => {
  for (const size of [0, 1, 125, 126, 65_535, 65_536, 100_000]) {
    expect(unframe(textFrame("x".repeat(size))).length).toBe(size);
    expect(unframe(binaryFrame(size, (frame, start) => frame.fill(7, start))).length).toBe(size);
  }
});

test("values are found in JSON text without parsing it", () => {
  expect(arrayElementText('["a,]\\\\", {"b":[1,"}"]} ,12345678901234567890]', 2)).toBe(
    "12345678901234567890",
  );
  expect(arrayElementText('["a,]\\\\", {"b":[1,"}"]} ,1]', 1)).toBe('{"b":[1,"}"]}');
  expect(objectMemberText('{"a":1}', "b")).toBeUndefined();
  expect(objectMemberText('{"a":1,"a":2}', "a")).toBe("2");
});

function text(push: ReturnType<Codec["decode"]>): TextPush {
  if (push?.kind !== "text") throw new Error(`expected a text push, got ${JSON.stringify(push)}`);
  return push;
}

/** Kind 3 as a client writes it, from the layout alone. */
function encodePush(push: {
  joinRef: string;
  ref: string;
  topic: string;
  userEvent: string;
  meta: string;
  isJson: boolean;
  payload: Buffer;
}): Buffer {
  const parts = [push.joinRef, push.ref, push.topic, push.userEvent, push.meta].map((part) =>
    Buffer.from(part),
  );
  return Buffer.concat([
    Buffer.from([3, ...parts.map((part) => part.length), push.isJson ? 1 : 0]),
    ...parts,
    push.payload,
  ]);
}

/** Kind 4 as a client reads it, from the layout alone. */
function decodeBroadcast(data: Buffer): object {
  const [kind, topicSize = 0, eventSize = 0, metaSize = 0, encoding] = data;
  expect(kind).toBe(4);
  const at = (from: number, size: number): string => data.toString("utf8", 5 + from, 5 + from + size);
  return {
    topic: at(0, topicSize),
    event: at(topicSize, eventSize),
    metaJson: at(topicSize + eventSize, metaSize),
    isJson: encoding === 1,
    payload: data.subarray(5 + topicSize + eventSize + metaSize),
  };
}

/** RFC 6455, section 5.2, for a whole unmasked frame. */
function unframe(frame: Buffer): Buffer {
  const short = (frame[1] ?? 0) & 0x7f;
  if (short < 126) return whole(frame.subarray(2), short);
  return short === 126
    ? whole(frame.subarray(4), frame.readUInt16BE(2))
    : whole(frame.subarray(10), Number(frame.readBigUInt64BE(2)));
}

function whole(body: Buffer, size: number): Buffer {
  expect(body.length).toBe(size);
  return body;
}
