import { isRecord } from "../../runtime/json.ts";

/*
 * Metadata is indexed by its leaves: the path from the top to a scalar, or to an object or array as such. A step into an object is
 * `.length:key`, into an array `[`, the end is `=` and the value. Postgres' jsonb `@>` asks, of almost every filter, just whether these are there.
 */

/**
 * Longer leaves are cut and marked with a hash, so that they fit into a key; then a match must be looked at. So are the paths to them, or what
 * lies deep, or below a long key, would be read once for each of its leaves.
 */
const longestLeaf = 400;

/** Every leaf of a metadata object, each once. */
export function leavesOf(metadata: Readonly<Record<string, unknown>>): Set<string> {
  const leaves = new Set<string>();
  const visit = (value: unknown, path: string): void => {
    leaves.add(shorten(`${path}=${endOf(value)}`));
    for (const [step, child] of childrenOf(value)) visit(child, shorten(path + step));
  };
  for (const [step, child] of childrenOf(metadata)) visit(child, shorten(step));
  return leaves;
}

/** What metadata must have to contain a filter. */
export interface LeafPlan {
  readonly leaves: ReadonlySet<string>;
  /** Having all leaves is not only needed but enough. */
  readonly isExact: boolean;
}

export function planOf(filter: Readonly<Record<string, unknown>>): LeafPlan {
  const leaves = new Set<string>();
  let isExact = true;
  // Two leaves below one element of an array must be found in the same element, which leaves do not tell.
  const visit = (value: unknown, path: string): number => {
    const children = childrenOf(value);
    if (children.length === 0) {
      const leaf = `${path}=${endOf(value)}`;
      if (leaf.length > longestLeaf) isExact = false;
      leaves.add(shorten(leaf));
      return 1;
    }
    let below = 0;
    for (const [step, child] of children) {
      if (path.length + step.length > longestLeaf) isExact = false;
      const count = visit(child, shorten(path + step));
      if (Array.isArray(value) && count > 1) isExact = false;
      below += count;
    }
    return below;
  };
  for (const [step, child] of childrenOf(filter)) {
    if (step.length > longestLeaf) isExact = false;
    visit(child, shorten(step));
  }
  return { leaves, isExact };
}

/** Whether `value` contains `part`, as jsonb's `@>` has it: order and duplicates in arrays do not count. */
export function contains(value: unknown, part: unknown): boolean {
  if (Array.isArray(part))
    return Array.isArray(value) && part.every((wanted) => value.some((each) => contains(each, wanted)));
  if (isRecord(part))
    return (
      isRecord(value) &&
      Object.entries(part).every(([key, wanted]) => Object.hasOwn(value, key) && contains(value[key], wanted))
    );
  return value === part;
}

function childrenOf(value: unknown): [step: string, child: unknown][] {
  if (Array.isArray(value)) return value.map((child) => ["[", child]);
  if (!isRecord(value)) return [];
  return Object.entries(value).map(([key, child]) => [`.${key.length}:${key}`, child]);
}

function endOf(value: unknown): string {
  if (typeof value === "string") return `s${value}`;
  if (typeof value === "number") return `n${value === 0 ? 0 : value}`; // −0 is 0
  if (Array.isArray(value)) return "[";
  if (isRecord(value)) return "{";
  return String(value);
}

function shorten(leaf: string): string {
  if (leaf.length <= longestLeaf) return leaf;
  let a = 0x811c9dc5;
  let b = leaf.length;
  for (let at = 0; at < leaf.length; at++) {
    const unit = leaf.charCodeAt(at);
    a = Math.imul(a ^ unit, 0x01000193);
    b = Math.imul(b + unit, 0x85ebca6b) ^ (b >>> 13);
  }
  return `${leaf.slice(0, longestLeaf)}#${(a >>> 0).toString(36)}#${(b >>> 0).toString(36)}`;
}
