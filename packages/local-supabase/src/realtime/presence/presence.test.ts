import fc from "fast-check";
import { expect, test } from "vitest";
import { countCall, type CallWindow } from "./call-limit.ts";
import {
  diffJson,
  isSafePresenceKey,
  noPresence,
  stateJson,
  track,
  untrack,
  type PresenceState,
} from "./presence.ts";

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

test("who applies the diffs knows what a latecomer is told", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      let state: PresenceState = noPresence;
      let seen: Metas = {};
      for (const [i, { owner, payload }] of steps.entries()) {
        const change = apply(state, owner, payload, `ref${i}`);
        if (change === undefined) continue;
        state = change.state;
        seen = applyDiff(seen, JSON.parse(diffJson(change)) as { joins: Metas; leaves: Metas });
      }
      expect(sorted(seen)).toEqual(sorted(JSON.parse(stateJson(state)) as Metas));
    }),
  );
});

test("a repeated track and a repeated untrack change nothing", () => {
  fc.assert(
    fc.property(fc.array(step), step, (before, { owner, payload }) => {
      const state = before.reduce<PresenceState>(
        (now, { owner: who, payload: said }, i) => apply(now, who, said, `r${i}`)?.state ?? now,
        noPresence,
      );
      const once = apply(state, owner, payload, "new")?.state ?? state;
      expect(apply(once, owner, payload, "newer")).toBeUndefined();
    }),
  );
});

test("one owner has one presence; an update names its predecessor", () => {
  const first = track(noPresence, owners[0]!, { key: "k", ref: "1", payload: { a: 1 } })!;
  const second = track(first.state, owners[0]!, { key: "k", ref: "2", payload: { a: 2 } })!;
  expect(JSON.parse(diffJson(second))).toEqual({
    joins: { k: { metas: [{ phx_ref: "2", phx_ref_prev: "1", a: 2 }] } },
    leaves: { k: { metas: [{ phx_ref: "1", a: 1 }] } },
  });
  const gone = untrack(second.state, owners[0]!)!;
  expect(JSON.parse(diffJson(gone))).toEqual({
    joins: {},
    leaves: { k: { metas: [{ phx_ref: "2", phx_ref_prev: "1", a: 2 }] } },
  });
  expect(stateJson(gone.state)).toBe("{}");
});

test("[95] a client cannot choose its phx_ref", () => {
  const { joined, state } = track(noPresence, owners[0]!, {
    key: "k",
    ref: "ours",
    payload: { phx_ref: "mine", phx_ref_prev: "mine", presence_ref: "mine" },
  })!;
  expect(joined?.payload).toEqual({ presence_ref: "mine" });
  expect(stateJson(state)).toBe('{"k":{"metas":[{"phx_ref":"ours","presence_ref":"mine"}]}}');
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
  state: PresenceState,
  owner: number,
  payload: Record<string, number> | undefined,
  ref: string,
): ReturnType<typeof track> {
  const who = owners[owner]!;
  return payload === undefined ? untrack(state, who) : track(state, who, { key: keys[owner]!, ref, payload });
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
