/** The analyst finds what the documents agree on, and ranks it. */
import { embed, joinTeam, team } from "./agent.ts";
import { parseFinding } from "./logic/findings.ts";
import { findThemes } from "./logic/themes.ts";

await joinTeam(team.analyst, ({ hub, adapter, tenantId, tell, remember, assign, finish }) => {
  hub.on("message:share_knowledge", ({ from_agent, payload }) => {
    tell({ kind: "heard", peer: from_agent, text: `hears from ${from_agent}: ${String(payload.knowledge)}` });
  });

  hub.on("message:task_assignment", async ({ payload: task, from_agent }) => {
    tell({ kind: "took", peer: from_agent, subject: task.task_id, text: `starts on "${task.description}"` });
    await hub.updateStatus("busy", task.description);

    const memories = await adapter.queryMemories(tenantId, team.researcher, 1000);
    const findings = memories.flatMap((memory) => parseFinding(memory.metadata) ?? []);
    const themes = findThemes(findings);
    for (const [index, theme] of themes.entries()) {
      const [strongest] = theme.findings;
      const [question = []] = await embed([`${theme.name} ${strongest?.text ?? ""}`]);
      const near = await adapter.semanticSearch(question, tenantId, 20);
      // What is near it, but was not counted: other documents that say it in other words.
      const told = new Set(theme.findings.map((each) => each.file));
      const related = near
        .filter((match) => match.similarity > 0.2)
        .flatMap((match) => parseFinding(match.metadata) ?? [])
        .filter((each) => !told.has(each.file));
      await remember(`theme/${index + 1}`, `${theme.name}: ${theme.beside.join(", ")}`, {
        ...theme,
        related: related.slice(0, 2),
      });
    }

    const names = themes.map((theme) => theme.name).join(", ");
    await finish(task.task_id, `found ${themes.length} themes: ${names}`, {
      themes: themes.map((theme) => theme.name),
    });
    await hub.shareKnowledge("Analysis complete", {
      analysis: { themes: themes.length, findings: findings.length },
    });
    tell({ kind: "said", text: `tells everybody: analysis complete, ${themes.length} themes` });
    await assign({
      task_id: "report",
      assigned_to: team.writer,
      description: "Write the report",
      topic: task["topic"],
      documents: task["documents"],
      findings: findings.length,
    });
    await hub.updateStatus("online");
  });
});
