import fc from "fast-check";
import { expect, test } from "vitest";
import { parseJoin, type JoinParameters } from "./join-parameters.ts";
import { postgresChangesId } from "./postgres-changes-id.ts";

const defaults: JoinParameters = {
  broadcast: { ack: false, self: false, replicationReady: false },
  replay: undefined,
  presence: { enabled: false, key: undefined },
  postgresChanges: [],
  waitForRowsMs: undefined,
  namesRowEvents: false,
  isPrivate: false,
  token: undefined,
};

test("[22] an empty config is the defaults", () => {
  expect(parseJoin("t", { config: {} })).toEqual({ parameters: defaults });
});

test("parsing never throws", () => {
  fc.assert(fc.property(fc.jsonValue(), (payload) => void parseJoin("t", payload)));
  fc.assert(fc.property(fc.jsonValue(), (config) => void parseJoin("t", { config })));
});

test("[27] booleans may be text in any case", () => {
  const config = {
    broadcast: { ack: "true", self: "TRUE", replication_ready: "True" },
    presence: { enabled: "tRUE" },
    private: "TRUE",
  };
  expect(parameters({ config })).toMatchObject({
    broadcast: { ack: true, self: true, replicationReady: true },
    presence: { enabled: true },
    isPrivate: true,
  });
  expect(parameters({ config: { private: "False" } }).isPrivate).toBe(false);
});

test("[28] nulls and unknown keys are defaults", () => {
  const config = { broadcast: null, presence: null, postgres_changes: null, private: null, foo: 1 };
  expect(parseJoin("t", { config })).toEqual({ parameters: defaults });
  expect(parseJoin("t", { config: null })).toEqual({ parameters: defaults });
  expect(parameters({ config: { postgres_changes: [null, { table: "a" }, 1] } }).postgresChanges).toEqual([
    { table: "a" },
  ]);
});

test("[29] a field of the wrong type is its default and its siblings keep their values", () => {
  const config = {
    broadcast: { ack: 1, self: true },
    presence: { key: {}, enabled: true },
    postgres_changes: "x",
  };
  expect(parameters({ config, access_token: 12 })).toEqual({
    ...defaults,
    broadcast: { ...defaults.broadcast, self: true },
    presence: { enabled: true, key: undefined },
  });
});

test("[29] a private that is no boolean is refused, since the other reading is a public channel", () => {
  for (const isPrivate of ["maybe", 1, {}, []])
    expect(parseJoin("t", { config: { private: isPrivate } })).toHaveProperty("refusal");
});

test.each([null, "x", 5, [], true])("[30] the payload %j is refused", (payload) => {
  expect(parseJoin("t", payload)).toEqual({ refusal: expect.stringMatching(/^UnknownErrorOnChannel: /) });
});

test.each([{ config: "x" }, { config: [] }, { config: { broadcast: "x" } }])(
  "[30] %j is refused",
  (payload) => {
    expect(parseJoin("t", payload)).toEqual({ refusal: expect.stringMatching(/^UnknownErrorOnChannel: /) });
  },
);

test("[32][33] user_token goes before access_token, and opaque keys say nothing", () => {
  expect(parameters({ config: {}, access_token: "a", user_token: "u" }).token).toBe("u");
  expect(parameters({ config: {}, access_token: "a", user_token: 5 }).token).toBe("a");
  expect(parameters({ config: {}, access_token: "sb_secret_x" }).token).toBeUndefined();
  expect(parameters({ config: {}, access_token: "" }).token).toBe("");
});

test("[88] a numeric presence key becomes text, an empty one is left to the server", () => {
  expect(parameters({ config: { presence: { key: 7 } } }).presence.key).toBe("7");
  expect(parameters({ config: { presence: { key: "" } } }).presence.key).toBeUndefined();
});

test("[95] presence keys that break receivers are refused", () => {
  for (const key of ["ids", "__proto__"])
    expect(parseJoin("t", { config: { presence: { key } } })).toHaveProperty("refusal");
});

test("a join without config asks for the rows that its topic names", () => {
  expect(parameters({}, "public").postgresChanges).toEqual([{ schema: "public" }]);
  expect(parameters({}, "public:todos:id=eq.1:2").postgresChanges).toEqual([
    { schema: "public", table: "todos", filter: "id=eq.1:2" },
  ]);
});

test("replay wants whole numbers and gives 1 to 25 messages", () => {
  const replay = (value: unknown): unknown => parameters({ config: { broadcast: { replay: value } } }).replay;
  expect(replay({})).toEqual({ kind: "valid", sinceMs: 0, limit: 10 });
  expect(replay({ since: -5, limit: 0 })).toEqual({ kind: "valid", sinceMs: -5, limit: 1 });
  expect(replay({ since: 1, limit: 100 })).toEqual({ kind: "valid", sinceMs: 1, limit: 25 });
  for (const bad of ["x", { since: "x" }, { since: 1.5 }, { since: 0, limit: null }])
    expect(replay(bad)).toEqual({ kind: "invalid" });
});

test("[97] equal entries have equal ids, and no id is 0", () => {
  const entry = fc.record(
    { event: fc.string(), schema: fc.string(), table: fc.option(fc.string()) },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(entry, (value) => {
      const id = postgresChangesId(value);
      expect(id).toBe(postgresChangesId({ ...value }));
      expect(Number.isInteger(id) && id > 0 && id < 2 ** 27).toBe(true);
    }),
  );
});

function parameters(payload: unknown, subTopic = "t"): JoinParameters {
  const parsed = parseJoin(subTopic, payload);
  if ("refusal" in parsed) throw new Error(parsed.refusal);
  return parsed.parameters;
}
