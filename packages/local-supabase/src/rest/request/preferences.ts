/** What the `Prefer` header asks for. Undefined: not said. */
export interface Preferences {
  readonly resolution: "merge-duplicates" | "ignore-duplicates" | undefined;
  readonly representation: "representation" | "minimal" | "headers-only" | undefined;
  readonly count: "exact" | "planned" | "estimated" | undefined;
  readonly transaction: "commit" | "rollback" | undefined;
  readonly missing: "default" | "null" | undefined;
  readonly handling: "strict" | "lenient" | undefined;
  readonly timezone: string | undefined;
  readonly maxAffected: number | undefined;
  /** What nobody understands; an error with `handling=strict`. */
  readonly invalid: readonly string[];
}

const known = {
  resolution: ["merge-duplicates", "ignore-duplicates"],
  return: ["representation", "minimal", "headers-only"],
  count: ["exact", "planned", "estimated"],
  tx: ["commit", "rollback"],
  missing: ["default", "null"],
  handling: ["strict", "lenient"],
} as const;

/** The first of each kind counts. `tx` counts only where a client may end a transaction its own way. */
export function parsePreferences(header: string | undefined, allowsRollback: boolean): Preferences {
  const preferences = (header ?? "").split(",").map((text) => text.trim());
  const pick = <K extends keyof typeof known>(name: K): (typeof known)[K][number] | undefined => {
    for (const preference of preferences) {
      const value = known[name].find((candidate) => preference === `${name}=${candidate}`);
      if (value !== undefined) return value;
    }
    return undefined;
  };
  const after = (prefix: string): string | undefined =>
    preferences.find((preference) => preference.startsWith(prefix))?.slice(prefix.length);
  const maxAffected = after("max-affected=");
  return {
    resolution: pick("resolution"),
    representation: pick("return"),
    count: pick("count"),
    transaction: allowsRollback ? pick("tx") : undefined,
    missing: pick("missing"),
    handling: pick("handling"),
    timezone: after("timezone="),
    maxAffected:
      maxAffected !== undefined && /^-?[0-9]{1,15}$/.test(maxAffected) ? Number(maxAffected) : undefined,
    invalid: preferences.filter((preference) => preference !== "" && !isKnown(preference)),
  };
}

function isKnown(preference: string): boolean {
  if (preference.startsWith("timezone=") || preference.startsWith("max-affected=")) return true;
  return Object.entries(known).some(([name, values]) =>
    values.some((value) => preference === `${name}=${value}`),
  );
}

/** What can have an effect on a request of this kind, hence is named in `Preference-Applied`. */
export type Applicable = "read" | "insert" | "update" | "delete" | "call";

export function preferenceApplied(preferences: Preferences, request: Applicable): string | undefined {
  const writes = request === "insert" || request === "update" || request === "delete";
  const applied: [string, string | number | undefined, boolean][] = [
    ["resolution", preferences.resolution, request === "insert"],
    ["missing", preferences.missing, request === "insert" || request === "update"],
    ["return", preferences.representation, writes],
    ["count", preferences.count, true],
    ["tx", preferences.transaction, true],
    ["handling", preferences.handling, true],
    ["timezone", preferences.timezone, true],
    [
      "max-affected",
      preferences.handling === "strict" ? preferences.maxAffected : undefined,
      request === "update" || request === "delete" || request === "call",
    ],
  ];
  const named = applied.filter(([, value, applies]) => applies && value !== undefined);
  return named.length === 0 ? undefined : named.map(([name, value]) => `${name}=${value}`).join(", ");
}
