/** The writer starts the work when the team is complete, and ends it with a report. */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { joinTeam, team } from "./agent.ts";
import { composeReport, sourcesOf } from "./logic/report.ts";
import { parseTheme } from "./logic/themes.ts";

const topic = process.env["TEAM_TOPIC"] ?? "AI safety in practice";
const reportFile = resolve(process.env["TEAM_REPORT"] ?? ".agent-federation/research-team/report.md");

await joinTeam(team.writer, ({ hub, adapter, tenantId, tell, remember, assign, finish }) => {
  const present = new Set<string>();
  let started = false;

  hub.on("agent:join", async ({ agent_id }) => {
    present.add(agent_id);
    if (started || !present.has(team.researcher) || !present.has(team.analyst)) return;
    started = true;
    const description = `Gather what the documents claim about ${topic}`;
    await assign({ task_id: "research", assigned_to: team.researcher, description, topic });
  });

  hub.on("message:task_assignment", async ({ payload: task, from_agent }) => {
    tell({ kind: "took", peer: from_agent, subject: task.task_id, text: `starts on "${task.description}"` });
    await hub.updateStatus("busy", "Writing");

    const memories = await adapter.queryMemories(tenantId, team.analyst, 1000);
    const themes = memories
      .flatMap((memory) => parseTheme(memory.metadata) ?? [])
      .toSorted((a, b) => b.weight - a.weight);
    const [lead] = themes[0]?.findings ?? [];
    if (lead === undefined) throw new Error("the analyst's themes hold no finding");
    const passage = await askForPassage(lead.id);

    const report = composeReport({
      topic,
      themes,
      passage,
      documents: Number(task["documents"]),
      findings: Number(task["findings"]),
    });
    await writeWhole(reportFile, report);
    tell({ kind: "wrote", subject: reportFile, text: `writes ${reportFile}` });
    const sources = sourcesOf(report);
    await remember("report", report, { file: reportFile, sources });
    await hub.broadcast("status_update", {
      agent_id: team.writer,
      status: "online",
      task: "Report complete",
    });
    await hub.updateStatus("online");
    await finish(task.task_id, `has written a report with ${sources.length} sources`, {
      file: reportFile,
      sources,
    });
  });

  /** Asks the team; the researcher answers. */
  function askForPassage(finding: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const stopListening = hub.on("message:share_knowledge", ({ payload, from_agent }) => {
        if (payload.metadata?.["finding"] !== finding) return;
        stopListening();
        tell({
          kind: "heard",
          peer: from_agent,
          text: `hears from ${from_agent} what stands around ${finding}`,
        });
        resolve(String(payload.knowledge));
      });
      tell({ kind: "said", text: `asks for help: what stands around ${finding}?` });
      hub.requestHelp("Where does the strongest claim stand?", { finding }).catch(reject);
    });
  }
});

/** Nobody ever sees half a report. */
async function writeWhole(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const unfinished = `${file}.${process.pid}`;
  await writeFile(unfinished, text);
  await rename(unfinished, file);
}
