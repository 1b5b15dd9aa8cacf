import type { Finding } from "./findings.ts";
import type { SharedTheme } from "./themes.ts";

export interface ReportParts {
  readonly topic: string;
  /** Best first. */
  readonly themes: readonly SharedTheme[];
  /** The strongest claim with the sentences around it. */
  readonly passage: string;
  /** How many documents were read and how many findings they gave. */
  readonly documents: number;
  readonly findings: number;
}

/** Markdown with a numbered source for every sentence it quotes; sources in the order of their first use. */
export function composeReport({ topic, themes, passage, documents, findings }: ReportParts): string {
  const sources = new Map<string, { number: number; title: string }>();
  const cite = ({ file, title }: Finding): string => {
    const source = sources.get(file) ?? { number: sources.size + 1, title };
    sources.set(file, source);
    return `[${source.number}]`;
  };
  const lead = themes[0]?.findings[0];
  const opening =
    lead === undefined || passage === ""
      ? []
      : ["The strongest claim, where it stands:", `> ${passage} ${cite(lead)}`];
  const sections = themes.map((theme) => section(theme, cite));
  const list = [...sources].map(([file, { number, title }]) => `${number}. ${title} (${file})`);
  return [
    `# ${topic}: what ${documents} documents agree on`,
    summary(themes, findings),
    ...opening,
    ...sections,
    "## Sources",
    list.join("\n"),
    "",
  ]
    .join("\n\n")
    .replace(/\n+$/, "\n");
}

/** The files that a report lists as its sources. */
export function sourcesOf(report: string): string[] {
  const list = report.slice(report.lastIndexOf("## Sources"));
  return [...list.matchAll(/^\d+\. .+ \((.+)\)$/gm)].map((match) => match[1] ?? "");
}

function summary(themes: readonly SharedTheme[], findings: number): string {
  const names = themes.map((theme) => `${theme.name} (${theme.documents})`).join(", ");
  return `${findings} claims were found; ${themes.length} themes stand in more than one document. In order, with the number of documents: ${names}.`;
}

/** A theme's strongest claim of each document, at most four, then what else is near. */
function section(theme: SharedTheme, cite: (finding: Finding) => string): string {
  const spoken = new Set<string>();
  const strongest = theme.findings
    .filter((each) => !spoken.has(each.file) && spoken.add(each.file))
    .slice(0, 4);
  const quotes = strongest.map((each) => `- ${each.text} ${cite(each)}`);
  const beside = theme.beside.length === 0 ? "" : ` Named beside it: ${theme.beside.join(", ")}.`;
  const near = theme.related.slice(0, 2).map((each) => `- ${each.text} ${cite(each)}`);
  return [
    `## ${theme.name[0]?.toUpperCase() ?? ""}${theme.name.slice(1)}`,
    `In ${theme.documents} documents, ${theme.findings.length} claims.${beside}`,
    quotes.join("\n"),
    ...(near.length === 0 ? [] : ["Near it, in other documents:", near.join("\n")]),
  ].join("\n\n");
}
