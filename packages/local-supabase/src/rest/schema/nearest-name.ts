/**
 * The candidate most like `name`, if it is like it enough. Likeness is one minus the edits it takes over the longer
 * length, ignoring case: 1 is the same, 0 has nothing in common.
 */
export function nearestName(
  name: string,
  candidates: readonly string[],
  atLeast: number,
): string | undefined {
  const wanted = name.slice(0, maxLength).toLowerCase();
  let best: { readonly name: string; readonly likeness: number } | undefined;
  for (const candidate of candidates) {
    const likeness = likenessOf(wanted, candidate.slice(0, maxLength).toLowerCase());
    if (likeness >= atLeast && likeness > (best?.likeness ?? 0)) best = { name: candidate, likeness };
  }
  return best?.name;
}

/** Hints are for typing errors; comparing whole books costs the square of their length. */
const maxLength = 256;

function likenessOf(a: string, b: string): number {
  const longer = Math.max(a.length, b.length);
  return longer === 0 ? 1 : 1 - editDistance(a, b) / longer;
}

/** Insertions, deletions and replacements of one character (Levenshtein), one row of the table at a time. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 0; i < a.length; i += 1) {
    const next = [i + 1];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (a[i] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
