import fc from "fast-check";
import { expect, test } from "vitest";
import { parseBatch } from "./parse-batch.ts";
import { parseSingle, parseSinglePath } from "./parse-single.ts";

const largest = 3_000_500;

function refusalBody(body: string): unknown {
  const parsed = parseBatch(body, largest);
  if (!("refusal" in parsed)) throw new Error("expected a refusal");
  expect(parsed.refusal.status).toBe(422);
  return JSON.parse(parsed.refusal.body);
}

test("parsing a batch never throws", () => {
  fc.assert(fc.property(fc.string(), (body) => void parseBatch(body, largest)));
  fc.assert(fc.property(fc.json(), (messages) => void parseBatch(`{"messages":${messages}}`, largest)));
});

test("payloads of a batch are forwarded as they were written", () => {
  const payload = fc.dictionary(fc.string(), fc.jsonValue());
  fc.assert(
    fc.property(
      fc.array(payload, { minLength: 1, maxLength: 5 }),
      fc.constantFrom(0, 2, "\t"),
      (payloads, indent) => {
        const messages = payloads.map((value) => ({ topic: "t", event: 'e"', payload: value }));
        const parsed = parseBatch(JSON.stringify({ messages }, null, indent), largest);
        if ("refusal" in parsed) throw new Error(parsed.refusal.body);
        const got = parsed.messages.map(({ payloadJson }) => JSON.parse(payloadJson) as unknown);
        expect(got).toEqual(
          payloads.map((value) => ({
            event: 'e"',
            payload: JSON.parse(JSON.stringify(value)) as unknown,
            type: "broadcast",
          })),
        );
      },
    ),
  );
  const exact = parseBatch(
    '{"messages":[{"topic":"t","event":"e","payload":{"n":12345678901234567890 , "x":1.0}}]}',
    largest,
  );
  expect(exact).toMatchObject({
    messages: [
      { payloadJson: '{"event":"e","payload":{"n":12345678901234567890 , "x":1.0},"type":"broadcast"}' },
    ],
  });
});

test("[75] the problems of a batch, one entry per message", () => {
  expect(refusalBody("")).toEqual({ errors: { messages: ["can't be blank"] } });
  expect(refusalBody("[]")).toEqual({ errors: { messages: ["can't be blank"] } });
  expect(refusalBody('{"messages":[1]}')).toEqual({ errors: { messages: ["is invalid"] } });
  const good = { topic: "t", event: "e", payload: {} };
  expect(
    refusalBody(
      JSON.stringify({
        messages: [good, { ...good, topic: " ", event: 5, id: 7 }, { ...good, private: "maybe" }],
      }),
    ),
  ).toEqual({
    errors: {
      messages: [
        {},
        { topic: ["can't be blank"], event: ["is invalid"], id: ["is invalid"] },
        { private: ["is invalid"] },
      ],
    },
  });
  expect(parseBatch('{"messages":', largest)).toMatchObject({ refusal: { status: 400 } });
});

test("[75] a payload that is too large is a problem of its message", () => {
  const message = { topic: "t", event: "e", payload: { s: "é".repeat(6) } };
  expect(parseBatch(JSON.stringify({ messages: [message] }), 20)).toMatchObject({ messages: [{}] });
  expect(parseBatch(JSON.stringify({ messages: [message] }), 19)).toMatchObject({ refusal: { status: 422 } });
});

test("[78] the path of a single broadcast is percent-decoded part by part", () => {
  expect(parseSinglePath("/broadcast/room%2Fa%3A1/events/my%20event")).toEqual({
    subTopic: "room/a:1",
    event: "my event",
  });
  for (const path of [
    "/broadcast",
    "/broadcast/t",
    "/broadcast//events/e",
    "/broadcast/t/events/",
    "/broadcast/%ff/events/e",
    "/broadcast/t/events/e/x",
  ]) {
    expect(parseSinglePath(path)).toBeUndefined();
  }
});

test("[78] the body of a single broadcast is its payload", () => {
  const json = (body: string): unknown => {
    const parsed = parseSingle("e", "application/json", Buffer.from(body), largest);
    return "refusal" in parsed
      ? parsed.refusal.status
      : (parsed.broadcast as { payload: Buffer }).payload.toString(); // JSON has one
  };
  expect(json('{"a": 1}')).toBe('{"a": 1}');
  expect(json("")).toBe("{}");
  expect(json("[1,2]")).toBe('{"_json":[1,2]}');
  expect(json("null")).toBe('{"_json":null}');
  expect(json("{")).toBe(400);
  expect(parseSingle("e", "application/octet-stream", Buffer.from([0, 255]), largest)).toEqual({
    broadcast: { form: "bytes", event: "e", payload: Buffer.from([0, 255]), metaJson: "" },
  });
});
