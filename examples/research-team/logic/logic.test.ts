import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { extractFindings, parseFinding, type Finding } from "./findings.ts";
import { composeReport, sourcesOf } from "./report.ts";
import { parseDocument, sentencesOf, stem, termsOf } from "./text.ts";
import { findThemes, parseTheme } from "./themes.ts";

const folder = new URL("../documents/", import.meta.url);
const documents = readdirSync(folder)
  .toSorted()
  .map((file) => parseDocument(file, readFileSync(new URL(file, folder), "utf8")));
const findings = documents.flatMap((document) => extractFindings(document, "AI safety"));

test("a document's title is its heading, its sentences lose their line breaks", () => {
  const document = parseDocument(
    "a.md",
    "# Stop\n\nOne rule. It holds\nwhen tested! Does it?\n\nA new paragraph.\n",
  );
  expect(document.title).toBe("Stop");
  expect(sentencesOf(document.body)).toEqual([
    "One rule.",
    "It holds when tested!",
    "Does it?",
    "A new paragraph.",
  ]);
});

test("forms of a word are one term", () => {
  expect(new Set(["report", "reports", "reported", "reporting"].map(stem))).toEqual(new Set(["report"]));
  expect(new Set(["stop", "stopped", "stopping"].map(stem))).toEqual(new Set(["stop"]));
  expect(termsOf("The reports should never be used")).toEqual(["report"]);
});

test("duties and reasons are claims, descriptions are not", () => {
  const document = parseDocument(
    "a.md",
    "# Logs\n\nThe sky is blue. Logs must be kept because memory is short. Logs should be short.",
  );
  expect(extractFindings(document, "").map((each) => each.text)).toEqual([
    "Logs must be kept because memory is short.",
    "Logs should be short.",
  ]);
});

test("every document that the example ships has findings, each a sentence of that document", () => {
  expect(documents.length).toBeGreaterThanOrEqual(6);
  for (const document of documents) {
    const own = extractFindings(document, "AI safety");
    expect(own.length, document.file).toBeGreaterThanOrEqual(5);
    for (const finding of own) expect(sentencesOf(document.body)[finding.position - 1]).toBe(finding.text);
  }
});

test("a theme is what at least two documents speak of, and the order of the findings does not matter", () => {
  const themes = findThemes(findings);
  expect(themes.length).toBeGreaterThanOrEqual(5);
  for (const theme of themes) {
    expect(new Set(theme.findings.map((each) => each.file)).size).toBe(theme.documents);
    expect(theme.documents).toBeGreaterThanOrEqual(2);
    for (const { text } of theme.findings) expect(termsOf(text)).toContain(stem(theme.name));
  }
  const shuffled = fc.shuffledSubarray(findings, { minLength: findings.length });
  const property = fc.property(shuffled, (order) => {
    expect(findThemes(order)).toEqual(themes);
  });
  fc.assert(property, { numRuns: 10 });
});

test("no finding is in two themes", () => {
  const told = findThemes(findings, 20).flatMap((theme) => theme.findings.map((each) => each.id));
  expect(new Set(told).size).toBe(told.length);
});

test("documents that share nothing have no theme", () => {
  const alone = ["Cats must sleep.", "Rivers must flow."].map((text, index): Finding => ({
    id: `${index}`,
    file: `${index}.md`,
    title: "",
    position: 1,
    text,
    score: 1,
  }));
  expect(findThemes(alone)).toEqual([]);
});

test("a report cites a listed source for everything it quotes", () => {
  const themes = findThemes(findings).map((theme) => ({ ...theme, related: findings.slice(0, 2) }));
  const passage = "Before. The claim itself. After.";
  const report = composeReport({
    topic: "AI safety",
    themes,
    passage,
    documents: documents.length,
    findings: findings.length,
  });
  expect(report).toContain(passage);
  const sources = sourcesOf(report);
  expect(sources.length).toBeGreaterThanOrEqual(5);
  for (const source of sources) expect(documents.map((each) => each.file)).toContain(source);
  const quotes = [...report.matchAll(/^- (.+) \[(\d+)\]$/gm)];
  expect(quotes.length).toBeGreaterThan(themes.length);
  for (const [, text, number] of quotes) {
    const file = sources[Number(number) - 1];
    expect(findings.find((each) => each.text === text)?.file).toBe(file);
  }
});

test("findings and themes survive being a memory's metadata, and nothing else passes for one", () => {
  const [theme] = findThemes(findings).map((each) => ({ ...each, related: [] }));
  expect(parseTheme(JSON.parse(JSON.stringify(theme)))).toEqual(theme);
  expect(parseFinding(JSON.parse(JSON.stringify(findings[0])))).toEqual(findings[0]);
  for (const value of [null, "x", {}, { name: "x" }]) {
    expect(parseTheme(value)).toBeUndefined();
    expect(parseFinding(value)).toBeUndefined();
  }
});
