import { parseFinding, type Finding } from "./findings.ts";
import { surfaceOf, termsOf } from "./text.ts";

/** Findings of several documents that speak of the same thing. */
export interface Theme {
  /** A word as the documents write it, most frequent form: "incident". */
  readonly name: string;
  /** The words that most often stand beside it. */
  readonly beside: readonly string[];
  /** Strongest first. */
  readonly findings: readonly Finding[];
  /** How many documents speak of it; at least 2. */
  readonly documents: number;
  /** Sum over documents of the strongest finding's score, weighed by how telling the word is. */
  readonly weight: number;
}

/** A theme as the analyst shares it, with what a search by meaning found near it in other documents. */
export interface SharedTheme extends Theme {
  readonly related: readonly Finding[];
}

/** Reads the metadata of a memory; undefined where it is not a theme. */
export function parseTheme(value: unknown): SharedTheme | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { name, beside, findings, documents, weight, related } = value as Partial<
    Record<keyof SharedTheme, unknown>
  >; // checked below
  if (typeof name !== "string" || typeof documents !== "number" || typeof weight !== "number")
    return undefined;
  if (!Array.isArray(beside) || !Array.isArray(findings) || !Array.isArray(related)) return undefined;
  return {
    name,
    documents,
    weight,
    beside: beside.filter((each) => typeof each === "string"),
    findings: findings.flatMap((each) => parseFinding(each) ?? []),
    related: related.flatMap((each) => parseFinding(each) ?? []),
  };
}

interface Indexed {
  readonly finding: Finding;
  readonly terms: ReadonlySet<string>;
}

/**
 * What the documents agree to speak of, best theme first. The term with the most weight names a theme and takes its findings; the
 * next is sought among what is left. The same findings give the same themes, in whatever order they come.
 */
export function findThemes(findings: readonly Finding[], most = 6): Theme[] {
  let left = findings
    .toSorted(byId)
    .map((finding): Indexed => ({ finding, terms: new Set(termsOf(finding.text)) }));
  const rarity = inverseFrequency(left);
  const surface = surfaceOf(findings.map((each) => each.text));
  const themes: Theme[] = [];
  while (themes.length < most) {
    const best = strongestTerm(left, rarity);
    if (best === undefined) break;
    const members = left.filter((each) => each.terms.has(best.term));
    const beside = companions(members, best.term, rarity).map((term) => surface.get(term) ?? term);
    themes.push({
      name: surface.get(best.term) ?? best.term,
      beside,
      findings: members.map((each) => each.finding).toSorted((a, b) => b.score - a.score || byId(a, b)),
      documents: filesOf(members).size,
      weight: best.weight,
    });
    left = left.filter((each) => !each.terms.has(best.term));
  }
  return themes;
}

/** Of the terms that at least two documents share; ties by the alphabet. */
function strongestTerm(
  left: readonly Indexed[],
  rarity: ReadonlyMap<string, number>,
): { term: string; weight: number } | undefined {
  let best: { term: string; weight: number } | undefined;
  for (const term of [...rarity.keys()].toSorted()) {
    const members = left.filter((each) => each.terms.has(term));
    const files = filesOf(members);
    if (files.size < 2) continue;
    const strongest = [...files].map((file) => scoresOf(members, file)[0] ?? 0);
    const weight = strongest.reduce((sum, score) => sum + score, 0) * Math.sqrt(rarity.get(term) ?? 0);
    if (best === undefined || weight > best.weight) best = { term, weight };
  }
  return best;
}

function companions(
  members: readonly Indexed[],
  name: string,
  rarity: ReadonlyMap<string, number>,
): string[] {
  const weights = new Map<string, number>();
  for (const { terms } of members) {
    for (const term of terms)
      if (term !== name) weights.set(term, (weights.get(term) ?? 0) + (rarity.get(term) ?? 0));
  }
  return [...weights]
    .toSorted((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))
    .slice(0, 3)
    .map(([term]) => term);
}

/** A term that few findings share tells more than one that all do; ln((1 + n) / (1 + holders)). */
function inverseFrequency(all: readonly Indexed[]): ReadonlyMap<string, number> {
  const holders = new Map<string, number>();
  for (const { terms } of all) for (const term of terms) holders.set(term, (holders.get(term) ?? 0) + 1);
  return new Map([...holders].map(([term, count]) => [term, Math.log((1 + all.length) / (1 + count))]));
}

const filesOf = (members: readonly Indexed[]): Set<string> =>
  new Set(members.map((each) => each.finding.file));

const scoresOf = (members: readonly Indexed[], file: string): number[] =>
  members
    .filter((each) => each.finding.file === file)
    .map((each) => each.finding.score)
    .toSorted((a, b) => b - a);

const byId = (a: Finding, b: Finding): number => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0);
