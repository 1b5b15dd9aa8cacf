import type { Database } from "../../database/database.ts";
import type { RealtimeParts } from "../realtime.ts";
import { textFrame, type WireFrame } from "../codec/wire-frame.ts";
import { isAbout, type Binding } from "./binding.ts";
import { dataJson, refusalOf, subjectCells, type CapturedRow } from "./captured-row.ts";
import type { Condition } from "./filter.ts";
import { groupBy } from "./group-by.ts";
import { judge, type Asker, type Verdict } from "./judge.ts";
import type { Subscription, Subscriptions } from "./subscriptions.ts";
import type { FactsCache, TableFacts } from "./table-facts.ts";

export interface DeliveryParts {
  readonly database: Database;
  readonly subscriptions: Subscriptions;
  readonly facts: FactsCache;
  readonly log: RealtimeParts["log"];
}

/** How long one turn of the event loop may be; broadcasts go between. */
const turnMs = 4;

/** What one asker may see of one table's rows, found out once for all who share role and claims. */
interface Opinion {
  readonly facts: TableFacts;
  readonly filterAt: ReadonlyMap<string, number>;
  /** Undefined: nothing had to be asked. */
  readonly verdicts: ReadonlyMap<CapturedRow, Verdict> | undefined;
}

/** Delivers committed rows in their order to whom they concern. */
export async function deliverRows(rows: readonly CapturedRow[], parts: DeliveryParts): Promise<void> {
  const { subscriptions } = parts;
  const opinions = new Map<string, Opinion | undefined>();
  let version = subscriptions.version;
  await formOpinions(rows, opinions, parts);
  let startedMs = performance.now();
  for (const [i, row] of rows.entries()) {
    if (performance.now() - startedMs > turnMs) {
      await new Promise((resolve) => setImmediate(resolve));
      startedMs = performance.now();
    }
    while (version !== subscriptions.version) {
      version = subscriptions.version;
      opinions.clear();
      await formOpinions(rows.slice(i), opinions, parts);
    }
    deliverRow(row, opinions, subscriptions);
  }
}

async function formOpinions(
  rows: readonly CapturedRow[],
  opinions: Map<string, Opinion | undefined>,
  parts: DeliveryParts,
): Promise<void> {
  for (const [relation, changed] of groupBy(rows, (row) => row.relation)) {
    const [first] = changed;
    if (first === undefined) continue;
    const concerned = parts.subscriptions.about(first.schema, first.table);
    for (const [key, subscriptions] of groupBy(concerned, ({ asker }) => asker.key)) {
      const asker = subscriptions[0]?.asker;
      if (asker === undefined) continue;
      opinions.set(`${relation} ${key}`, await formOpinion(changed, asker, subscriptions, parts));
    }
  }
}

/** Undefined for a table that is gone, or where the database did not say. */
async function formOpinion(
  rows: readonly CapturedRow[],
  asker: Asker,
  subscriptions: readonly Subscription[],
  { facts: cache, database, log }: DeliveryParts,
): Promise<Opinion | undefined> {
  const [first] = rows;
  if (first === undefined) return undefined;
  const facts = await cache.get(first.relation, asker.role);
  if (facts === undefined) return undefined;
  const filters = new Map<string, readonly Condition[]>();
  for (const { bindings } of subscriptions) {
    for (const binding of bindings) {
      if (binding.conditions.length > 0 && isAbout(binding, first.schema, first.table))
        filters.set(filterKey(binding), binding.conditions);
    }
  }
  const filterAt = new Map([...filters.keys()].map((key, at) => [key, at]));
  const asked = rows.filter(
    (row) => refusalOf(row, facts) === undefined && (filters.size > 0 || isBound(row, facts)),
  );
  if (asked.length === 0) return { facts, filterAt, verdicts: undefined };
  const candidates = asked.map((row) => ({ cells: subjectCells(row, facts), isBound: isBound(row, facts) }));
  const verdicts = await judge(database, facts, asker, [...filters.values()], candidates, (reason) =>
    log("info", "realtime: a changed row could not be judged and is not shown", {
      table: facts.table,
      role: asker.role,
      reason,
    }),
  );
  return { facts, filterAt, verdicts: new Map(asked.map((row, i) => [row, verdicts[i] ?? noVerdict])) };
}

const noVerdict: Verdict = { isVisible: false, matches: [] };

function isBound(row: CapturedRow, facts: TableFacts): boolean {
  return facts.isBound && row.event !== "DELETE";
}

function filterKey({ conditions }: Binding): string {
  return JSON.stringify(conditions);
}

/** At once, and one frame for all who get the same. */
function deliverRow(
  row: CapturedRow,
  opinions: ReadonlyMap<string, Opinion | undefined>,
  subscriptions: Subscriptions,
): void {
  const frames = new Map<string, WireFrame>();
  const texts = new Map<string, string>();
  for (const { receiver, bindings, asker } of subscriptions.about(row.schema, row.table)) {
    const opinion = opinions.get(`${row.relation} ${asker.key}`);
    if (opinion === undefined) continue;
    const matching = bindings.filter((binding) => isMatch(row, binding, opinion));
    for (const [select, some] of groupBy(matching, (binding) => JSON.stringify(binding.select ?? null))) {
      const dataKey = `${asker.role} ${select}`;
      const data = texts.get(dataKey) ?? dataJson(row, opinion.facts, some[0]?.select);
      texts.set(dataKey, data);
      const ids = [...new Set(some.map(({ id }) => id))].join(",");
      const { codec, topic, namesEvents } = receiver;
      const key = JSON.stringify([codec.version, namesEvents, topic, ids, dataKey]);
      let frame = frames.get(key);
      if (frame === undefined) {
        const event = namesEvents ? row.event : "postgres_changes";
        const payloadJson = namesEvents ? data : `{"data":${data},"ids":[${ids}]}`;
        frame = textFrame(codec.encode({ joinRef: null, ref: null, topic, event, payloadJson }));
        frames.set(key, frame);
      }
      receiver.deliverRow(frame);
    }
  }
}

function isMatch(row: CapturedRow, binding: Binding, { facts, filterAt, verdicts }: Opinion): boolean {
  if (binding.event !== "*" && binding.event !== row.event) return false;
  if (!isAbout(binding, row.schema, row.table)) return false;
  if (refusalOf(row, facts) !== undefined) return true; // says that something happened, and nothing more
  const verdict = verdicts?.get(row);
  if (isBound(row, facts) && verdict?.isVisible !== true) return false;
  if (binding.conditions.length === 0) return true;
  const subject = subjectCells(row, facts);
  if (!binding.conditions.every(({ column }) => subject.has(column))) return false;
  return verdict?.matches[filterAt.get(filterKey(binding)) ?? -1] === true;
}
