export interface TableName {
  readonly schema: string;
  readonly name: string;
}

/** A column of the origin and the column of the target that it equals. */
export interface ColumnPair {
  readonly from: string;
  readonly to: string;
}

/** A way from `origin` to `target`: by a foreign key, by a table between the two, or by a function. */
export type Relationship = KeyRelationship | JunctionRelationship | ComputedRelationship;

export interface KeyRelationship {
  readonly kind: "many-to-one" | "one-to-one" | "one-to-many";
  readonly origin: TableName;
  readonly target: TableName;
  readonly constraint: string;
  readonly columns: readonly ColumnPair[];
  /** Hints by constraint or column name are for tables; a view has no constraints of its own. */
  readonly targetIsView: boolean;
}

export interface JunctionRelationship {
  readonly kind: "many-to-many";
  readonly origin: TableName;
  readonly target: TableName;
  readonly junction: TableName;
  /** The constraint towards the origin, then the one towards the target. */
  readonly constraints: readonly [string, string];
  /** From the origin to the junction, and from the target to the junction. */
  readonly originColumns: readonly ColumnPair[];
  readonly targetColumns: readonly ColumnPair[];
}

export interface ComputedRelationship {
  readonly kind: "computed";
  readonly origin: TableName;
  readonly target: TableName;
  /** Takes a row of the origin, returns rows of the target. */
  readonly function: TableName;
  readonly toOne: boolean;
}

export interface ForeignKey {
  readonly constraint: string;
  readonly table: TableName;
  readonly target: TableName;
  readonly columns: readonly ColumnPair[];
  /** Its columns are unique: at most one row per target row. */
  readonly unique: boolean;
}

/** A column of a view that is a column of a table (or of another view) unchanged. */
export interface ViewColumn {
  readonly view: TableName;
  readonly column: string;
  readonly source: TableName;
  readonly sourceColumn: string;
}

export function isToOne(relationship: Relationship): boolean {
  if (relationship.kind === "computed") return relationship.toOne;
  return relationship.kind === "many-to-one" || relationship.kind === "one-to-one";
}

/** Names a table in a map. */
export function tableKey({ schema, name }: TableName): string {
  return JSON.stringify([schema, name]);
}

/** In order of appearance. */
export function groupBy<T>(
  items: Iterable<T>,
  keyOf: (item: T) => string,
): ReadonlyMap<string, readonly T[]> {
  const groups = new Map<string, T[]>();
  for (const item of items) {
    const key = keyOf(item);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [item]);
    else group.push(item);
  }
  return groups;
}
