import fc from "fast-check";
import { expect, test } from "vitest";
import { countCall, type CallWindow } from "./call-limit.ts";
import { diffJson, isSafePresenceKey, Presences, type PresenceChange } from "./presence.ts";

type Metas = Record<string, { metas: { phx_ref: string }[] }>;

const owners = [{ n: 0 }, { n: 1 }, { n: 2 }, { n: 3 }];
/** Owners 0 and 1 share a key. */
const keys = ["a", "a", "b", "c"];
const step = fc.record({
  owner: fc.integer({ min: 0, max: 3 }),
  payload: fc.option(fc.dictionary(fc.constantFrom("x", "y", "phx_ref"), fc.integer({ min: 0, max: 2 })), {
    nil: undefined,
  }),
});

test("who applies the diffs knows what a latecomer is told, however many changes a diff tells of", () => {
  const turn = fc.array(step, { maxLength: 8 });
  fc.assert(
    fc.property(fc.array(turn, { maxLength: 8 }), (turns) => {
      const presences = new Presences();
      let seen: Metas = {};
      let refs = 0;
      for (const steps of turns) {
        const changes = steps.flatMap(
          ({ owner, payload }) => apply(presences, owner, payload, `ref${refs++}`) ?? [],
        );
        seen = applyDiff(seen, JSON.parse(diffJson(changes)) as { joins: Metas; leaves: Metas });
        expect(sorted(seen)).toEqual(sorted(JSON.parse(presences.stateJson) as Metas));
      }
    }),
  );
});

test("a repeated track and a repeated untrack change nothing", () => {
  fc.assert(
    fc.property(fc.array(step), step, (before, { owner, payload }) => {
      const presences = new Presences();
      for (const [i, { owner: who, payload: said }] of before.entries()) apply(presences, who, said, `r${i}`);
      apply(presences, owner, payload, "new");
      const state = presences.stateJson;
      expect(apply(presences, owner, payload, "newer")).toBeUndefined();
      expect(presences.stateJson).toBe(state);
    }),
  );
});

test("one owner has one presence; an update names its predecessor", () => {
  const presences = new Presences();
  const owner = owners[0]!;
  const first = presences.track(owner, { key: "k", ref: "1", payload: { a: 1 } })!;
  const second = presences.track(owner, { key: "k", ref: "2", payload: { a: 2 } })!;
  const old = { phx_ref: "1", a: 1 };
  const updated = { phx_ref: "2", phx_ref_prev: "1", a: 2 };
  expect(JSON.parse(diffJson([second]))).toEqual({
    joins: { k: { metas: [updated] } },
    leaves: { k: { metas: [old] } },
  });
  const gone = presences.untrack(owner)!;
  expect(JSON.parse(diffJson([gone]))).toEqual({ joins: {}, leaves: { k: { metas: [updated] } } });
  expect(JSON.parse(diffJson([first, second, gone]))).toEqual({
    joins: { k: { metas: [old, updated] } },
    leaves: { k: { metas: [old, updated] } },
  });
  expect(presences.stateJson).toBe("{}");
});

test("[95] a client cannot choose its phx_ref", () => {
  const presences = new Presences();
  presences.track(owners[0]!, {
    key: "k",
    ref: "ours",
    payload: { phx_ref: "mine", phx_ref_prev: "mine", presence_ref: "mine" },
  });
  expect(presences.stateJson).toBe('{"k":{"metas":[{"phx_ref":"ours","presence_ref":"mine"}]}}');
});

test("[95] keys that break receivers are not safe", () => {
  expect(["ids", "__proto__", "constructor", "toString"].map(isSafePresenceKey)).not.toContain(true);
  expect(["a", "metas", "id", " "].map(isSafePresenceKey)).not.toContain(false);
});

test("a window lets through its number of calls and ends by itself", () => {
  const limit = { maxCalls: 5, windowMs: 30_000 };
  let window: CallWindow | undefined;
  for (let call = 0; call < 5; call++) window = countCall(window, 1000 + call, limit);
  expect(countCall(window, 30_999, limit)).toBeUndefined();
  expect(countCall(window, 31_000, limit)).toEqual({ endsAtMs: 61_000, calls: 1 });
});

function apply(
  presences: Presences,
  owner: number,
  payload: Record<string, number> | undefined,
  ref: string,
): PresenceChange | undefined {
  const who = owners[owner]!;
  return payload === undefined
    ? presences.untrack(who)
    : presences.track(who, { key: keys[owner]!, ref, payload });
}

/** What a receiver does with a diff: joins first, then leaves, both by `phx_ref`. */
function applyDiff(seen: Metas, { joins, leaves }: { joins: Metas; leaves: Metas }): Metas {
  const next: Metas = { ...seen };
  for (const [key, { metas }] of Object.entries(joins))
    next[key] = { metas: [...(next[key]?.metas ?? []), ...metas] };
  for (const [key, { metas }] of Object.entries(leaves)) {
    const gone = new Set(metas.map((meta) => meta.phx_ref));
    const left = (next[key]?.metas ?? []).filter((meta) => !gone.has(meta.phx_ref));
    if (left.length === 0) delete next[key];
    else next[key] = { metas: left };
  }
  return next;
}

function sorted(state: Metas): Metas {
  const byRef = (a: { phx_ref: string }, b: { phx_ref: string }): number => (a.phx_ref < b.phx_ref ? -1 : 1);
  return Object.fromEntries(
    Object.entries(state).map(([key, { metas }]) => [key, { metas: metas.toSorted(byRef) }]),
  );
}
