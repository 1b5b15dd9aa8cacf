import { sentencesOf, termsOf, type Document } from "./text.ts";

/** A sentence that claims something, and where it stands. */
export interface Finding {
  /** Unique in the corpus: the file's name and the position of the sentence. */
  readonly id: string;
  readonly file: string;
  readonly title: string;
  /** 1 for the first sentence of the document. */
  readonly position: number;
  readonly text: string;
  /** Above 0; what follows from evidence or duty weighs more than description. */
  readonly score: number;
}

/** What a sentence says when it claims something, with the weight of each kind of claim. */
const CLAIMS: readonly (readonly [pattern: RegExp, weight: number])[] = [
  [/\b(should|must|requires?|needs? to|have to)\b/i, 2], // a duty
  [/\b(because|since|so that|therefore)\b/i, 1.5], // a reason
  [/\b(reduces?|increases?|limits?|causes?|allows?|falls?|grows?|fails?|weaken|prevents?)\b/i, 1], // an effect
  [/\b(when|if|unless|while)\b/i, 0.5], // a condition
  [/\b\d+|\b(minutes|hours?|days|month|months)\b/i, 0.5], // a measure
];

/** A document's strongest claims about `topic` (its words weigh extra), best first, at most `most` of them. */
export function extractFindings(document: Document, topic: string, most = 8): Finding[] {
  const wanted = new Set(termsOf(`${topic} ${document.title}`));
  const findings = sentencesOf(document.body).map((text, index): Finding => {
    const claim = CLAIMS.reduce((sum, [pattern, weight]) => sum + (pattern.test(text) ? weight : 0), 0);
    const onTopic = new Set(termsOf(text).filter((term) => wanted.has(term))).size;
    const position = index + 1;
    const id = `${document.file.replace(/\.md$/, "")}-${position}`;
    return {
      id,
      file: document.file,
      title: document.title,
      position,
      text,
      score: claim === 0 ? 0 : claim + onTopic,
    };
  });
  const claims = findings.filter((each) => each.score > 0);
  return claims.toSorted((a, b) => b.score - a.score || a.position - b.position).slice(0, most);
}

/** Reads the metadata of a memory; undefined where it is not a finding. */
export function parseFinding(value: unknown): Finding | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { id, file, title, position, text, score } = value as Partial<Record<keyof Finding, unknown>>; // each is checked below
  const isFinding =
    typeof id === "string" &&
    typeof file === "string" &&
    typeof title === "string" &&
    typeof position === "number" &&
    typeof text === "string" &&
    typeof score === "number";
  return isFinding ? { id, file, title, position, text, score } : undefined;
}
