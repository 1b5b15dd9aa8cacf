import { ambiguousRelationshipError, noRelationshipError } from "../errors/schema-errors.ts";
import { tableKey, type Relationship, type TableName } from "../schema/relationship.ts";
import type { SchemaCache } from "../schema/schema-cache.ts";

/**
 * What `target!hint(…)` below `origin` means. The target is a table or view, the constraint of a foreign key, a column
 * that is one, or a function; the hint is a constraint, a column of either side, or the table between.
 */
export function findRelationship(
  cache: SchemaCache,
  origin: TableName,
  target: string,
  hint: string | undefined,
): Relationship {
  const matches = cache
    .relationships(origin.schema, origin.name)
    .filter((relationship) => isMeant(relationship, target, hint));
  const [first, second] = matches;
  if (first === undefined) throw noRelationshipError(cache, origin, target, hint);
  if (second !== undefined) throw ambiguousRelationshipError(origin.name, target, matches);
  return first;
}

function isMeant(relationship: Relationship, target: string, hint: string | undefined): boolean {
  if (relationship.kind === "computed") return target === relationship.function.name;
  const toTarget = target === relationship.target.name;
  if (tableKey(relationship.origin) === tableKey(relationship.target)) {
    // One foreign key within a table gives two relationships: the table's name means the many, the column's the one.
    if (hint !== undefined)
      return toTarget && relationship.kind === "one-to-many" && farColumn(relationship) === hint;
    if (relationship.kind === "one-to-many") return toTarget;
    return relationship.kind === "many-to-one" && nearColumn(relationship) === target;
  }
  if (hint === undefined) {
    if (toTarget) return true;
    if (relationship.kind === "many-to-many" || relationship.targetIsView) return false;
    return target === relationship.constraint || target === nearColumn(relationship);
  }
  if (!toTarget) return false;
  if (relationship.kind === "many-to-many") return hint === relationship.junction.name;
  return (
    hint === relationship.constraint || hint === nearColumn(relationship) || hint === farColumn(relationship)
  );
}

function nearColumn(relationship: Relationship): string | undefined {
  return single(relationship)?.from;
}

function farColumn(relationship: Relationship): string | undefined {
  return single(relationship)?.to;
}

function single(relationship: Relationship): { readonly from: string; readonly to: string } | undefined {
  if (relationship.kind === "computed" || relationship.kind === "many-to-many") return undefined;
  return relationship.columns.length === 1 ? relationship.columns[0] : undefined;
}
