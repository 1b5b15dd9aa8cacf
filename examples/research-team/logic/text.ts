/** Sentences, words and stems of English text: just enough for the three agents, no library and no model. */

export interface Document {
  /** The file's name, the source that a report cites. */
  readonly file: string;
  readonly title: string;
  readonly body: string;
}

/** A Markdown file whose first heading is its title. */
export function parseDocument(file: string, text: string): Document {
  const heading = /^#[ \t]+(.+)$/m.exec(text);
  const title = heading?.[1]?.trim() ?? file;
  const body = heading === null ? text : text.replace(heading[0], "");
  return { file, title, body: body.trim() };
}

/** One entry per sentence, line breaks within it removed. */
export function sentencesOf(body: string): string[] {
  const sentences: string[] = [];
  for (const paragraph of body.split(/\n\s*\n/)) {
    const text = paragraph.replace(/\s+/g, " ").trim();
    for (const sentence of text.split(/(?<=[.!?])\s+(?=[A-Z])/))
      if (sentence !== "") sentences.push(sentence);
  }
  return sentences;
}

/** The words that carry meaning, in lower case and stemmed, in order. */
export function termsOf(text: string): string[] {
  const words = text.toLowerCase().match(/[a-z][a-z-]+/g) ?? [];
  return words.filter((word) => word.length > 2 && !STOP_WORDS.has(word)).map(stem);
}

/** For every term the word that stands for it: the form that the texts use most, the shorter one of two. */
export function surfaceOf(texts: readonly string[]): ReadonlyMap<string, string> {
  const counts = new Map<string, number>();
  for (const text of texts) {
    for (const word of text.toLowerCase().match(/[a-z][a-z-]+/g) ?? [])
      counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const surface = new Map<string, string>();
  for (const [word] of [...counts].toSorted(
    (a, b) => b[1] - a[1] || a[0].length - b[0].length || (a[0] < b[0] ? -1 : 1),
  )) {
    const term = stem(word);
    if (!surface.has(term)) surface.set(term, word);
  }
  return surface;
}

/** Removes the commonest English endings, so that "reports", "reported" and "reporting" are one term. */
export function stem(word: string): string {
  for (const [ending, replacement] of ENDINGS) {
    const root = word.slice(0, word.length - ending.length) + replacement;
    if (word.endsWith(ending) && root.length >= 4) return undouble(root);
  }
  return word;
}

/** "stopp" (from "stopping") and "stop" are one term, "full" stays as it is. */
function undouble(root: string): string {
  return /([bdgmnprt])\1$/.test(root) ? root.slice(0, -1) : root;
}

const ENDINGS: readonly (readonly [ending: string, replacement: string])[] = [
  ["ations", "at"],
  ["ation", "at"],
  ["ities", "ity"],
  ["ings", ""],
  ["ing", ""],
  ["ies", "y"],
  ["ied", "y"],
  ["ions", ""],
  ["ion", ""],
  ["ers", "er"],
  ["ed", ""],
  ["es", ""],
  ["e", ""],
  ["s", ""],
];

const STOP_WORDS: ReadonlySet<string> = new Set(
  `about above after afterwards again against all also although always and another any anything are around because been before being
  below beside between both but can cannot cause come comes could did does done down each either else even ever every few first for from
  had has have having her here him his how however into its itself just keep last later least less like made make makes many matter matters
  may might more most much must need needs never new next nobody none nor not nothing now off often once one ones only onto other others
  our out outside over own part rather same say says see seen several shall she should since some somebody something still such take team teams model models system systems people
  than that the their them then there therefore these they thing things this those though through too under until upon use used uses
  very was way well were what when where whether which while who whoever whom whose why will with within without would year years yes
  yet you your two three hundred thousand`.split(/\s+/),
);
