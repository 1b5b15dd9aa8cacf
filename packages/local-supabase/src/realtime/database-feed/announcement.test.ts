import fc from "fast-check";
import { expect, test } from "vitest";
import { parseAnnouncement } from "./announcement.ts";

const row = {
  id: "i",
  inserted_at: "2026-01-01T00:00:00",
  topic: "t",
  event: "e",
  private: true,
  extension: "broadcast",
  payload: '{"a": 1}',
  binary_payload: null,
};

test("anybody may notify, so reading an announcement never throws", () => {
  fc.assert(fc.property(fc.string(), (text) => void parseAnnouncement(text)));
  fc.assert(fc.property(fc.json(), (text) => void parseAnnouncement(text)));
});

test("a row keeps the text of its payload, and carries its id", () => {
  const payload = '{"big": 12345678901234567890, "id": "own"}';
  expect(parseAnnouncement(JSON.stringify({ ...row, payload }))).toEqual({
    kind: "row",
    message: {
      subTopic: "t",
      isPrivate: true,
      broadcast: { form: "json", event: "e", payload: Buffer.from(payload), metaJson: '{"id":"i"}' },
    },
  });
});

test("bytes are bytes", () => {
  const announcement = parseAnnouncement(
    JSON.stringify({ ...row, private: false, payload: null, binary_payload: "AAH+/w==" }),
  );
  expect(announcement).toMatchObject({
    message: { isPrivate: false, broadcast: { form: "bytes", payload: Buffer.from([0, 1, 254, 255]) } },
  });
});

test("a row that did not fit says where it is", () => {
  const { id, inserted_at } = row;
  expect(parseAnnouncement(JSON.stringify({ id, inserted_at }))).toEqual({
    kind: "reference",
    id,
    insertedAt: inserted_at,
  });
});

test.each(["id", "event", "private", "payload"])("a row without %s reaches nobody", (name) => {
  expect(parseAnnouncement(JSON.stringify({ ...row, [name]: null }))).toBeUndefined();
});
