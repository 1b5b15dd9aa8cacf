import { groupBy, tableKey, type TableName, type ViewColumn } from "./relationship.ts";

export interface ViewDefinition extends TableName {
  /** Column numbers and names of the view itself. */
  readonly columns: Readonly<Record<string, string>>;
  /** `pg_rewrite.ev_action` of its rule: the query as Postgres' node tree prints it. */
  readonly rule: string;
}

export interface NumberedTable extends TableName {
  readonly id: string;
  readonly columns: Readonly<Record<string, string>>;
}

/**
 * Which columns of the views are columns of tables unchanged. A view of a view is followed to its tables, and counts as
 * showing the columns of the views between as well.
 */
export function resolveViewColumns(
  views: readonly ViewDefinition[],
  tables: readonly NumberedTable[],
): readonly ViewColumn[] {
  const byNumber = new Map(tables.map((table) => [table.id, table]));
  const direct = views.flatMap((view) =>
    topTargets(view.rule).flatMap(({ position, table, column }): ViewColumn[] => {
      const source = byNumber.get(table);
      const name = view.columns[position];
      const sourceColumn = source?.columns[column];
      if (source === undefined || name === undefined || sourceColumn === undefined) return [];
      return [
        {
          view: { schema: view.schema, name: view.name },
          column: name,
          source: { schema: source.schema, name: source.name },
          sourceColumn,
        },
      ];
    }),
  );
  return followed(direct);
}

function followed(direct: readonly ViewColumn[]): readonly ViewColumn[] {
  const byView = groupBy(direct, ({ view }) => tableKey(view));
  const through = (column: ViewColumn): readonly ViewColumn[] => {
    const further = (byView.get(tableKey(column.source)) ?? [])
      .filter((below) => below.column === column.sourceColumn)
      .map((below) => ({ ...column, source: below.source, sourceColumn: below.sourceColumn }));
    return [column, ...further.flatMap(through)];
  };
  return direct.flatMap(through);
}

interface Target {
  readonly position: string;
  readonly table: string;
  readonly column: string;
}

/**
 * The entries of the outermost target list that name a table's column. Nodes are `{NAME :field value …}` and lists
 * `(…)`; the query is the first node, so its target entries are the nodes at depth two, and those of a subquery deeper.
 */
export function topTargets(rule: string): readonly Target[] {
  const targets: Target[] = [];
  let depth = 0;
  let start = 0;
  for (let at = 0; at < rule.length; at += 1) {
    const char = rule[at];
    if (char === "\\") at += 1;
    else if (char === "{") {
      depth += 1;
      if (depth === 2) start = at;
    } else if (char === "}") {
      if (depth === 2 && rule.startsWith("{TARGETENTRY", start))
        targets.push(...target(rule.slice(start, at)));
      depth -= 1;
    }
  }
  return targets;
}

function target(entry: string): readonly Target[] {
  // What follows the expression; the expression itself may hold whole subqueries with entries of their own.
  const tail = entry.slice(entry.lastIndexOf(":resno "));
  const [, position, table, column] =
    /^:resno (\d+) .*:resorigtbl (\d+) :resorigcol (\d+) :resjunk false$/s.exec(tail) ?? [];
  if (position === undefined || table === undefined || column === undefined || table === "0") return [];
  return [{ position, table, column }];
}
