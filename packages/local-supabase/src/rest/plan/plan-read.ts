import { notEmbeddedError, relatedOrderError } from "../errors/request-errors.ts";
import type { Field } from "../request/field.ts";
import type { OrderTerm } from "../request/order.ts";
import type { At, Window } from "../request/query-string.ts";
import type { SelectField, SelectItem, SelectRelation } from "../request/select.ts";
import { isToOne, type Relationship, type TableName } from "../schema/relationship.ts";
import type { SchemaCache } from "../schema/schema-cache.ts";
import { findRelationship } from "./find-relationship.ts";
import { predicate, reference } from "./plan-predicate.ts";
import type { ColumnReference, Embed, Join, OutputColumn, Ordering, ReadNode, Source } from "./read-plan.ts";
import { ofItself, type Said } from "./said.ts";

export interface ReadRoot {
  readonly source: Source;
  /** Its name in the statement and in error messages, and where relationships start. */
  readonly name: TableName;
  readonly select: readonly SelectItem[];
  readonly said: Said;
  /** The most rows any relation of the answer may hold; undefined where the answer is what was written. */
  readonly maxRows: number | undefined;
}

/** Resolves a request's `select`, filters, orders and limits against the schema. Pure. */
export function planRead(cache: SchemaCache, root: ReadRoot): ReadNode {
  const aliases = new Set([root.name.name]);
  const context: Context = { cache, maxRows: root.maxRows, unique };
  const place = {
    source: root.source,
    table: root.name,
    alias: root.name.name,
    joins: [],
    junction: undefined,
  };
  return planNode(context, place, root.select, root.said, 0);

  function unique(wanted: string): string {
    // Postgres cuts names after 63 bytes, and two that differ only behind that are one.
    const base = Buffer.byteLength(wanted) > 55 ? "pgrst_relation" : wanted;
    let alias = base;
    for (let attempt = 2; aliases.has(alias); attempt += 1) alias = `${base}_${attempt}`;
    aliases.add(alias);
    return alias;
  }
}

interface Context {
  readonly cache: SchemaCache;
  readonly maxRows: number | undefined;
  /** An alias nothing else in the statement has. */
  readonly unique: (wanted: string) => string;
}

interface Place {
  readonly source: Source;
  readonly table: TableName;
  readonly alias: string;
  readonly joins: readonly Join[];
  readonly junction: ReadNode["junction"];
}

function planNode(
  context: Context,
  place: Place,
  select: readonly SelectItem[],
  said: Said,
  depth: number,
): ReadNode {
  const table = context.cache.table(place.table.schema, place.table.name);
  const relations = select.filter((item) => item.kind === "relation");
  const fields = select.filter((item) => item.kind === "field");
  const below = distribute(said, relations);
  const embeds = relations.map((relation) =>
    planEmbed(context, place, relation, below.get(relation) ?? nothingSaid, depth + 1),
  );
  const column = (field: Field): ColumnReference => reference(place.alias, table, field);
  const everything = select.length === 0 && depth === 0 ? [star] : fields;
  return {
    ...place,
    columns: everything.map((field) => outputColumn(field, column(field.field))),
    embeds,
    where: [
      ...ofItself(said.filters).map((filter) =>
        predicate({ kind: "filter", filter }, place.alias, table, embeds),
      ),
      ...ofItself(said.logic).map((logic) => predicate(logic, place.alias, table, embeds)),
    ],
    order: ofItself(said.orders)
      .flat()
      .map((term) => ordering(term, place.table, column, embeds)),
    window: bounded(ofItself(said.windows)[0], context.maxRows),
  };
}

const star: SelectField = {
  kind: "field",
  field: { name: "*", path: [] },
  alias: undefined,
  cast: undefined,
};
const nothingSaid: Said = { filters: [], logic: [], orders: [], windows: [] };

/** Hands every statement about an embedded relation to that relation, one step of its path shorter. */
function distribute(said: Said, relations: readonly SelectRelation[]): ReadonlyMap<SelectRelation, Said> {
  const find = (name: string): SelectRelation => {
    const found = relations.find(({ alias }) => alias === name) ?? relations.find((r) => r.name === name);
    if (found === undefined) throw notEmbeddedError(name);
    return found;
  };
  const of = <T>(items: readonly At<T>[], relation: SelectRelation): readonly At<T>[] =>
    items.flatMap(({ path: [head, ...rest], value }) =>
      head !== undefined && find(head) === relation ? [{ path: rest, value }] : [],
    );
  const unknown = [...said.filters, ...said.logic, ...said.orders, ...said.windows];
  for (const { path } of unknown) if (path[0] !== undefined) find(path[0]);
  return new Map(
    relations.map((relation) => [
      relation,
      {
        filters: of(said.filters, relation),
        logic: of(said.logic, relation),
        orders: of(said.orders, relation),
        windows: of(said.windows, relation),
      },
    ]),
  );
}

function planEmbed(
  context: Context,
  parent: Place,
  relation: SelectRelation,
  said: Said,
  depth: number,
): Embed {
  const { cache, unique } = context;
  const relationship = findRelationship(cache, parent.table, relation.name, relation.hint);
  const alias = unique(`${relationship.target.name}_${depth}`);
  const junction =
    relationship.kind === "many-to-many"
      ? { table: relationship.junction, alias: unique(`${relationship.junction.name}_${depth}`) }
      : undefined;
  const place: Place = {
    source: embedSource(relationship, parent),
    table: relationship.target,
    alias,
    joins: joinsOf(relationship, { parent: parent.alias, child: alias, junction: junction?.alias ?? "" }),
    junction,
  };
  const name = relation.alias ?? relation.name;
  const node = planNode(context, place, relation.select, said, depth);
  return {
    name,
    alias: unique(`pgrst_${name}_${depth}`),
    toOne: isToOne(relationship),
    inner: relation.join === "inner",
    hidden: node.columns.length === 0 && node.embeds.every(({ hidden }) => hidden),
    node,
  };
}

function embedSource(relationship: Relationship, parent: Place): Source {
  if (relationship.kind !== "computed") return { kind: "table", table: relationship.target };
  return {
    kind: "computed",
    function: relationship.function,
    argument: { alias: parent.alias, type: relationship.origin },
  };
}

function joinsOf(
  relationship: Relationship,
  alias: { readonly parent: string; readonly child: string; readonly junction: string },
): readonly Join[] {
  if (relationship.kind === "computed") return [];
  const equal =
    (left: string, right: string) =>
    (pair: { readonly from: string; readonly to: string }): Join => ({
      left: { alias: left, column: pair.to },
      right: { alias: right, column: pair.from },
    });
  if (relationship.kind === "many-to-many") {
    return [
      ...relationship.originColumns.map(equal(alias.junction, alias.parent)),
      ...relationship.targetColumns.map(equal(alias.junction, alias.child)),
    ];
  }
  return relationship.columns.map(equal(alias.child, alias.parent));
}

function outputColumn({ field, alias, cast }: SelectField, column: ColumnReference): OutputColumn {
  return { column, cast, as: alias ?? pathName(field) ?? (cast === undefined ? undefined : field.name) };
}

/** A path's value is called like its last key. */
function pathName({ name, path }: Field): string | undefined {
  if (path.length === 0) return undefined;
  return path.findLast((step) => step.by === "key")?.key ?? name;
}

function ordering(
  term: OrderTerm,
  origin: TableName,
  column: (field: Field) => ColumnReference,
  embeds: readonly Embed[],
): Ordering {
  const { relation, field, direction, nulls } = term;
  if (relation === undefined) return { column: column(field), direction, nulls };
  const embed = embeds.find(({ name }) => name === relation);
  if (embed === undefined) throw notEmbeddedError(relation);
  if (!embed.toOne) throw relatedOrderError(origin.name, relation);
  return {
    column: { alias: embed.alias, name: field.name, path: field.path, asJson: false },
    direction,
    nulls,
  };
}

function bounded(window: Window | undefined, maxRows: number | undefined): Window {
  const { limit, offset } = window ?? { limit: undefined, offset: 0 };
  if (limit === 0) return { limit: 0, offset: 0 };
  return { limit: maxRows === undefined ? limit : Math.min(limit ?? maxRows, maxRows), offset };
}
