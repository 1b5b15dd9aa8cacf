import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Provenance } from "./machine.ts";

export interface Results {
  readonly origin: Provenance & Readonly<Record<string, unknown>>;
  readonly results: readonly Readonly<Record<string, unknown> | object>[];
  /** The same as a Markdown table, for people. */
  readonly table: string;
}

/** Writes `name`.json with every sample and `name`.md with the table. Numbers quoted anywhere link to one of them. */
export async function writeResults(
  folder: string,
  name: string,
  { origin, results, table }: Results,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  // One result a line: readable in a diff, and a thousand samples do not fill a thousand lines.
  const lines = results.map((result) => `    ${JSON.stringify(result)}`).join(",\n");
  const json = `{\n  "origin": ${JSON.stringify(origin)},\n  "results": [\n${lines}\n  ]\n}\n`;
  await writeFile(join(folder, `${name}.json`), json);
  const { machine, versions, commit, isModified, at, loadAverage } = origin;
  const where = `${machine.cores} cores of ${machine.cpu}, ${machine.memoryGb} GB, ${machine.platform}, load average ${loadAverage} before the first case`;
  const what = Object.entries(versions).map(([each, version]) => `${each} ${version}`);
  const header =
    `# ${name}\n\n${at.slice(0, 10)}, commit ${commit.slice(0, 12)}${isModified ? " with changes" : ""}. ${where}. ` +
    `${[...what, ...(typeof origin["postgres"] === "string" ? [origin["postgres"]] : [])].join(", ")}. ` +
    `Raw samples: [${name}.json](${name}.json).`;
  await writeFile(join(folder, `${name}.md`), `${header}\n\n${table}\n`);
}
