import {
  groupBy,
  tableKey,
  type ColumnPair,
  type ComputedRelationship,
  type ForeignKey,
  type JunctionRelationship,
  type KeyRelationship,
  type Relationship,
  type TableName,
  type ViewColumn,
} from "./relationship.ts";

export interface RelationshipSource {
  readonly foreignKeys: readonly ForeignKey[];
  readonly viewColumns: readonly ViewColumn[];
  readonly primaryKeys: ReadonlyMap<string, readonly string[]>;
  readonly computed: readonly ComputedRelationship[];
}

/**
 * All relationships that the foreign keys imply, both ways, through views that show their columns, and across tables
 * whose primary key holds two foreign keys. A computed relationship replaces the derived ones of the same name.
 */
export function deriveRelationships(source: RelationshipSource): readonly Relationship[] {
  const views = viewIndex(source.viewColumns);
  const keys = source.foreignKeys.flatMap((key) => [key, ...throughViews(key, views)]);
  const direct = keys.flatMap((key) => [forward(key, views), backward(key, views)]);
  const derived = [...direct, ...acrossJunctions(keys, source.primaryKeys)];
  const replaced = new Set(source.computed.map((c) => JSON.stringify([c.origin, c.function.name])));
  return [
    ...derived.filter((r) => !replaced.has(JSON.stringify([r.origin, r.target.name]))),
    ...source.computed,
  ];
}

type ViewIndex = ReadonlyMap<string, readonly ViewColumn[]>;

function viewIndex(columns: readonly ViewColumn[]): ViewIndex {
  return groupBy(columns, (column) => tableKey(column.view));
}

function forward(key: ForeignKey, views: ViewIndex): KeyRelationship {
  return {
    kind: key.unique ? "one-to-one" : "many-to-one",
    origin: key.table,
    target: key.target,
    constraint: key.constraint,
    columns: key.columns,
    targetIsView: views.has(tableKey(key.target)),
  };
}

function backward(key: ForeignKey, views: ViewIndex): KeyRelationship {
  return {
    kind: key.unique ? "one-to-one" : "one-to-many",
    origin: key.target,
    target: key.table,
    constraint: key.constraint,
    columns: key.columns.map(({ from, to }) => ({ from: to, to: from })),
    targetIsView: views.has(tableKey(key.table)),
  };
}

/** The same key with a view in place of either table, where the view shows all its columns. */
function throughViews(key: ForeignKey, views: ViewIndex): readonly ForeignKey[] {
  const tables = [key.table, ...viewsShowing(key.table, views)];
  const targets = [key.target, ...viewsShowing(key.target, views)];
  const found: ForeignKey[] = [];
  for (const table of tables) {
    for (const target of targets) {
      if (table === key.table && target === key.target) continue;
      const columns = key.columns.map(({ from, to }) => ({
        from: shownAs(key.table, from, table, views),
        to: shownAs(key.target, to, target, views),
      }));
      if (columns.every((pair): pair is ColumnPair => pair.from !== undefined && pair.to !== undefined)) {
        found.push({ ...key, table, target, columns });
      }
    }
  }
  return found;
}

function viewsShowing(table: TableName, views: ViewIndex): readonly TableName[] {
  const wanted = tableKey(table);
  const found: TableName[] = [];
  for (const columns of views.values()) {
    const view = columns.find(({ source }) => tableKey(source) === wanted)?.view;
    if (view !== undefined) found.push(view);
  }
  return found;
}

function shownAs(table: TableName, column: string, as: TableName, views: ViewIndex): string | undefined {
  if (as === table) return column;
  const wanted = tableKey(table);
  return views
    .get(tableKey(as))
    ?.find(({ source, sourceColumn }) => tableKey(source) === wanted && sourceColumn === column)?.column;
}

/** Two foreign keys of one table that both lie within its primary key join their targets, each to each. */
function acrossJunctions(
  keys: readonly ForeignKey[],
  primaryKeys: ReadonlyMap<string, readonly string[]>,
): readonly JunctionRelationship[] {
  const byTable = groupBy(keys, (key) => tableKey(key.table));
  const found: JunctionRelationship[] = [];
  for (const [table, ofTable] of byTable) {
    const primaryKey = new Set(primaryKeys.get(table));
    const inKey = ofTable.filter(
      ({ columns, unique }) => !unique && columns.every(({ from }) => primaryKey.has(from)),
    );
    for (const near of inKey) {
      for (const far of inKey) {
        if (near.constraint === far.constraint) continue;
        found.push({
          kind: "many-to-many",
          origin: near.target,
          target: far.target,
          junction: near.table,
          constraints: [near.constraint, far.constraint],
          originColumns: near.columns.map(({ from, to }) => ({ from: to, to: from })),
          targetColumns: far.columns.map(({ from, to }) => ({ from: to, to: from })),
        });
      }
    }
  }
  return found;
}
