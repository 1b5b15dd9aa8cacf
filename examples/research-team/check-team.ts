import type { TeamEvent, TeamEventKind } from "./team-event.ts";

/** What a finished team must have done; what is missing, in words. Empty when nothing is. */
export function missingFrom(events: readonly TeamEvent[], agents: readonly string[]): string[] {
  const missing: string[] = [];
  const has = (kind: TeamEventKind, facts: Partial<TeamEvent>): boolean =>
    events.some(
      (event) =>
        event.kind === kind &&
        (facts.agent === undefined || event.agent === facts.agent) &&
        (facts.peer === undefined || event.peer === facts.peer) &&
        (facts.subject === undefined || event.subject === facts.subject),
    );

  for (const agent of agents) {
    if (!has("joined", { agent })) missing.push(`${agent} did not join`);
    if (!has("said", { agent })) missing.push(`${agent} said nothing`);
    if (!has("heard", { agent })) missing.push(`${agent} heard nothing`);
    for (const peer of agents) {
      if (peer !== agent && !has("met", { agent, peer })) missing.push(`${agent} did not see ${peer}`);
    }
  }
  for (const { agent, subject = "", peer = "" } of events.filter((event) => event.kind === "assigned")) {
    if (!has("finished", { agent: peer, subject }))
      missing.push(`task ${subject} of ${peer} is not finished`);
    if (!has("confirmed", { agent, peer, subject }))
      missing.push(`${agent} was not told that ${subject} is finished`);
  }
  for (const { agent, subject = "" } of events.filter((event) => event.kind === "stored")) {
    for (const other of agents) {
      if (other !== agent && !has("learned", { agent: other, peer: agent, subject })) {
        missing.push(`${other} did not learn of memory ${subject} of ${agent}`);
      }
    }
  }
  if (!events.some((event) => event.kind === "assigned")) missing.push("no task was handed over");
  if (!events.some((event) => event.kind === "stored")) missing.push("no memory was stored");
  if (!events.some((event) => event.kind === "wrote")) missing.push("no report was written");
  for (const { agent, text } of events.filter((event) => event.kind === "failed"))
    missing.push(`${agent}: ${text}`);
  return missing;
}
