import { expect, test } from "vitest";
import { Columns } from "./columns.ts";

const namesOfColumns = ["state", "agent", "session", "group", "created", "end"] as const;

test("slots one after the other have room in time, keep what they have, and never wait for two columns at once", () => {
  const columns = new Columns();
  let mostAtOnce = 0;
  for (let slot = 0; slot < 20_000; slot++) {
    const before = namesOfColumns.map((name) => columns[name]);
    columns.grow(slot);
    const grown = namesOfColumns.filter((name, at) => columns[name] !== before[at]);
    if (slot > 1_000) mostAtOnce = Math.max(mostAtOnce, grown.length);
    for (const name of namesOfColumns) columns[name][slot] = slot % 200;
  }
  expect(mostAtOnce).toBe(1);
  expect(columns.used).toBe(20_000);
  for (const name of namesOfColumns) {
    const held = Array.from(columns[name].subarray(0, 20_000));
    expect(held).toEqual(Array.from({ length: 20_000 }, (_, slot) => slot % 200));
  }
});

test("a slot far away has room, and those before it are empty", () => {
  const columns = new Columns();
  columns.grow(3);
  columns.created[3] = 5;
  columns.grow(100_000);
  for (const name of namesOfColumns) expect(columns[name].length).toBeGreaterThan(100_000);
  expect([columns.created[3], columns.created[4], columns.state[100_000], columns.used]).toEqual([
    5, 0, 0, 100_001,
  ]);
});
