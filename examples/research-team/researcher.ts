/** The researcher reads the documents and shares what they claim. */
import { documentsFolder, joinTeam, readDocuments, team } from "./agent.ts";
import { extractFindings, type Finding } from "./logic/findings.ts";
import { sentencesOf, type Document } from "./logic/text.ts";

await joinTeam(team.researcher, ({ hub, tell, remember, assign, finish }) => {
  let documents: Document[] = [];

  hub.on("message:task_assignment", async ({ payload: task, from_agent }) => {
    tell({ kind: "took", peer: from_agent, subject: task.task_id, text: `starts on "${task.description}"` });
    documents = await readDocuments(process.env["TEAM_DOCUMENTS"] ?? documentsFolder);
    await hub.updateStatus("busy", `Reading ${documents.length} documents`);

    const topic = typeof task["topic"] === "string" ? task["topic"] : task.description;
    const findings = documents.flatMap((document) => extractFindings(document, topic));
    for (const { file } of documents) {
      const own = findings.filter((finding) => finding.file === file);
      await Promise.all(
        own.map((finding) => remember(`finding/${finding.id}`, finding.text, { ...finding })),
      );
    }

    await finish(task.task_id, `has read ${documents.length} documents: ${findings.length} findings`, {
      documents: documents.length,
      findings: findings.length,
    });
    await hub.shareKnowledge("Research complete", { findings: findings.map((each) => each.id) });
    tell({ kind: "said", text: `tells everybody: research complete, ${findings.length} findings` });
    await assign({
      task_id: "analysis",
      assigned_to: team.analyst,
      description: "Find the themes and rank them",
      topic,
      documents: documents.length,
    });
    await hub.updateStatus("online");
  });

  // Whoever needs to know where a finding stands asks; only the researcher has the documents.
  hub.on("message:request_help", async ({ payload: { context, from } }) => {
    const { finding: wanted } = context as { finding?: unknown }; // what the writer sends; anything else is not for us
    if (typeof wanted !== "string") return;
    tell({ kind: "heard", peer: from, text: `hears ${from} ask for help` });
    const passage = passageAround(documents, wanted);
    await hub.sendMessage(from, "share_knowledge", {
      knowledge: passage,
      metadata: { finding: wanted },
      from: team.researcher,
    });
    tell({ kind: "said", peer: from, text: `answers ${from}: the passage around ${wanted}` });
  });
});

/** A finding's sentence with the one before and the one after it. */
function passageAround(documents: readonly Document[], id: Finding["id"]): string {
  const [, name = "", position = ""] = /^(.+)-(\d+)$/.exec(id) ?? [];
  const document = documents.find((each) => each.file === `${name}.md`);
  if (document === undefined) return "";
  const at = Number(position) - 1;
  return sentencesOf(document.body)
    .slice(Math.max(0, at - 1), at + 2)
    .join(" ");
}
