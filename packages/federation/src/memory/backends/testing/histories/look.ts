import { compareHlc } from "../../../sync/hlc.ts";
import type { Machine } from "./machine.node.ts";
import type { Shown, ShownRow } from "./machine-lines.ts";

/** Where a machine is not what its agent may read on the server, or still has something to say. */
export function differences(
  { name, agent }: Pick<Machine, "name" | "agent">,
  { rows, pending }: Shown,
  onServer: readonly ShownRow[],
): string[] {
  const wrong: string[] = [];
  if (pending > 0) wrong.push(`${name} still has ${pending} to push`);
  const mine = livingOf(rows);
  const theirs = livingOf(onServer.filter((row) => row.scope !== "agent" || row.agent_id === agent));
  if (mine !== theirs) wrong.push(`${name} has\n${mine}\nthe server has\n${theirs}`);
  return wrong;
}

/** Acknowledged writes that are neither on the server nor gave way to a later one there, nor are dead letters. */
export function lostWrites(
  { name, acknowledged, sent, sentContents }: Machine,
  { refused }: Shown,
  onServer: readonly ShownRow[],
): string[] {
  const wrong: string[] = [];
  const lost = (what: string, id: string): void => {
    wrong.push(`${name} lost ${what}; the server has ${JSON.stringify(find(onServer, id))}`);
  };
  const isDead = (id: string): boolean => refused.some((letter) => letter.id === id);
  // What was sent was durable here: the server has that, or what it gave way to.
  for (const [id, hlc] of sent) {
    const final = find(onServer, id);
    if (isDead(id) || (final !== undefined && compareHlc(final.hlc, hlc) >= 0)) continue;
    lost(`what it sent of ${id} with ${JSON.stringify(hlc)}`, id);
  }
  acknowledged.forEach((write, place) => {
    const { id, content, updatedAt } = write;
    if (acknowledged.slice(place + 1).some((later) => later.id === id)) return;
    const final = find(onServer, id);
    const isThere = final?.content === content;
    if (isThere || isDead(id)) return;
    const isEarlierOwn = acknowledged
      .slice(0, place)
      .some((earlier) => earlier.id === id && earlier.content !== "" && earlier.content === final?.content);
    const isBefore =
      content !== "" &&
      !sentContents.has(content) &&
      final !== undefined &&
      final.hlc.ms < Math.floor(Date.parse(updatedAt ?? ""));
    if (final === undefined || isEarlierOwn || isBefore) lost(JSON.stringify(write), id);
  });
  return wrong;
}

/** What listeners that were there all the time believe, where it is not so, and what they were told twice. */
export function untold(
  { name, hasListened, told, toldTwice }: Machine,
  onServer: readonly ShownRow[],
): string[] {
  const wrong = toldTwice.map((what) => `${name} was told twice of ${what}`);
  if (!hasListened) return wrong;
  for (const { id, version, content, scope, isDeleted } of onServer) {
    if (isDeleted || scope === "agent" || told.get(id) === `${version} ${content}`) continue;
    wrong.push(`${name} was told ${told.get(id)} of ${id}, which is ${version} ${content}`);
  }
  return wrong;
}

function find(rows: readonly ShownRow[], id: string): ShownRow | undefined {
  return rows.find((row) => row.id === id);
}

function livingOf(rows: readonly ShownRow[]): string {
  return rows
    .filter(({ isDeleted }) => !isDeleted)
    .map(({ id, version, scope, content, hlc: { ms, counter, writer } }) =>
      [id, version, scope, content, ms, counter, writer].join(" "),
    )
    .toSorted()
    .join("\n");
}
