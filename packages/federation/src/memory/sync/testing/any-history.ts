import fc from "fast-check";
import type { History, Step } from "./simulation.ts";

export const who: fc.Arbitrary<number> = fc.integer({ min: 0, max: 2 });
export const key: fc.Arbitrary<number> = fc.integer({ min: 0, max: 6 });
const ms = fc.oneof(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 60, max: 20_000 }));
const kind = fc.oneof(
  { weight: 6, arbitrary: fc.constant("put" as const) },
  { weight: 2, arbitrary: fc.constant("delete" as const) },
  { weight: 1, arbitrary: fc.constantFrom("private" as const, "refused" as const) },
);
const hour = 3_600_000;
const skewMs = fc.oneof(
  fc.integer({ min: -500, max: 500 }),
  fc.integer({ min: -50_000, max: 50_000 }),
  fc.constantFrom(-5 * hour, 5 * hour, 61_000),
);
const write = fc.record({ does: fc.constant("write" as const), who, key, kind });
const writeThere = fc.record({ does: fc.constant("write there" as const), who, key });
const wait = fc.record({ does: fc.constant("wait" as const), ms });
const trouble: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ does: fc.constant("cut" as const), who, ms }),
  fc.record({ does: fc.constant("crash" as const), who, ms }),
  fc.record({ does: fc.constant("crash" as const), who, ms: fc.constant(0) }),
  fc.record({ does: fc.constant("new machine" as const), who }),
  fc.record({ does: fc.constant("crash server" as const), ms }),
  fc.record({ does: fc.constant("set clock" as const), who, skewMs }),
  fc.record({ does: fc.constant("back up" as const) }),
  fc.record({ does: fc.constant("new epoch" as const), restores: fc.boolean() }),
  fc.record({ does: fc.constant("purge" as const) }),
  fc.record({ does: fc.constant("mark" as const), key }),
  fc.record({ does: fc.constant("open transaction" as const), ms }),
  fc.record({ does: fc.constant("limit batches" as const), maxRows: fc.integer({ min: 1, max: 20 }) }),
  fc.record({ does: fc.constant("sync" as const), who }),
  fc.record({ does: fc.constant("retry dead letters" as const), who }),
);
const share = (max: number): fc.Arbitrary<number> =>
  fc.integer({ min: 0, max: 10 }).map((n) => (n / 10) * max);
/** Several agents, a server, a bad network, processes and servers that die, wrong clocks. */
export const anyHistory: fc.Arbitrary<History> = fc.record({
  seed: fc.integer(),
  weather: fc.record({
    lost: share(0.5),
    repeated: share(0.4),
    busy: share(0.2),
    deadly: share(0.1),
    slowMs: fc.constantFrom(20, 300, 2_000),
  }),
  steps: fc.array(
    fc.oneof(
      { weight: 5, arbitrary: write },
      { weight: 1, arbitrary: writeThere },
      { weight: 4, arbitrary: wait },
      { weight: 3, arbitrary: trouble },
    ),
    { minLength: 5, maxLength: 60, size: "max" },
  ),
});
