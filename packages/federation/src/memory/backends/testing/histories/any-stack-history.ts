import fc from "fast-check";
import { key, who } from "../../../sync/testing/any-history.ts";

export type WriteKind = "put" | "private" | "delete";

/** How a machine's line to the server is: drops what is on it and works again, refuses, swallows without a word. */
export type LineState = "cut" | "away" | "silent" | "back";

/** One thing that happens in a history on a real stack. `who` is the number of a machine. */
export type StackStep =
  | { readonly does: "write"; readonly who: number; readonly key: number; readonly kind: WriteKind }
  | { readonly does: "sync"; readonly who: number }
  | { readonly does: "line"; readonly who: number; readonly state: LineState }
  /** Killed when it has said so many lines more, or when everything is over. */
  | { readonly does: "crash"; readonly who: number; readonly lines: number }
  | { readonly does: "reopen"; readonly who: number }
  | { readonly does: "new machine"; readonly who: number }
  | { readonly does: "retry dead letters"; readonly who: number }
  | { readonly does: "restart server" }
  | { readonly does: "new epoch" };

const write: fc.Arbitrary<StackStep> = fc.record({
  does: fc.constant("write" as const),
  who,
  key,
  kind: fc.oneof(
    { weight: 6, arbitrary: fc.constant("put" as const) },
    { weight: 2, arbitrary: fc.constant("delete" as const) },
    { weight: 1, arbitrary: fc.constant("private" as const) },
  ),
});
const sync: fc.Arbitrary<StackStep> = fc.record({ does: fc.constant("sync" as const), who });
const crash = fc.record({
  does: fc.constant("crash" as const),
  who,
  lines: fc.integer({ min: 0, max: 12 }),
});
const trouble: fc.Arbitrary<StackStep> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      does: fc.constant("line" as const),
      who,
      state: fc.constantFrom<LineState>("cut", "away", "silent", "back", "back"),
    }),
  },
  { weight: 1, arbitrary: crash },
  { weight: 2, arbitrary: fc.record({ does: fc.constant("reopen" as const), who }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("new machine" as const), who }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant("retry dead letters" as const), who }) },
  { weight: 1, arbitrary: fc.constant({ does: "new epoch" as const }) },
);

/** Each has one crash and one restart of the server at least, anywhere. */
export const anyStackHistory: fc.Arbitrary<readonly StackStep[]> = fc
  .record({
    steps: fc.array(
      fc.oneof(
        { weight: 6, arbitrary: write },
        { weight: 2, arbitrary: sync },
        { weight: 3, arbitrary: trouble },
      ),
      { minLength: 15, maxLength: 40, size: "max" },
    ),
    crash,
    crashAt: fc.nat({ max: 40 }),
    restartAt: fc.nat({ max: 40 }),
  })
  .map(({ steps, crash: killed, crashAt, restartAt }) => {
    const all: StackStep[] = [...steps];
    all.splice(crashAt % all.length, 0, killed);
    all.splice(restartAt % all.length, 0, { does: "restart server" });
    return all;
  });
