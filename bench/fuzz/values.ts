import type { Random } from "./random.ts";

const oddTexts = [
  "",
  " ",
  "\u0000",
  "é",
  "😀",
  "\ud800",
  "__proto__",
  "constructor",
  "ids",
  "*",
  "null",
  "realtime:",
] as const;
const oddNumbers = [0, -0, -1, 1.5, 1e308, 2 ** 53, 2 ** 63, -(2 ** 31)] as const;

export function oddText(random: Random): string {
  if (random.chance(0.02)) return "x".repeat(random.below(5_000));
  return random.chance(0.5) ? random.pick(oddTexts) : `t${random.below(100)}`;
}

/** Any JSON value, mostly small, now and then deep or wide. */
export function anyValue(random: Random, depth = 0): unknown {
  switch (random.below(depth > 3 ? 5 : 8)) {
    case 0:
      return null;
    case 1:
      return random.chance(0.5);
    case 2:
      return random.pick(oddNumbers);
    case 3:
    case 4:
      return oddText(random);
    case 5:
      return Array.from({ length: random.below(4) }, () => anyValue(random, depth + 1));
    default:
      return anyObject(random, depth + 1);
  }
}

export function anyObject(random: Random, depth = 0): Record<string, unknown> {
  const entries = Array.from({ length: random.below(4) }, () => [oddText(random), anyValue(random, depth)]);
  return Object.fromEntries(entries) as Record<string, unknown>; // pairs of a text and a value
}

/** JSON that nests as deep as a few kilobytes can say. */
export function deepJson(random: Random): string {
  const depth = 1 + random.below(3_000);
  return random.chance(0.5)
    ? `${"[".repeat(depth)}${"]".repeat(depth)}`
    : `${'{"a":'.repeat(depth)}1${"}".repeat(depth)}`;
}
