import type { Filter } from "../request/filter.ts";
import type { Logic } from "../request/logic.ts";
import type { OrderTerm } from "../request/order.ts";
import type { At, Window } from "../request/query-string.ts";

/** What the query string says about a relation and about those embedded in it. */
export interface Said {
  readonly filters: readonly At<Filter>[];
  readonly logic: readonly At<Logic>[];
  readonly orders: readonly At<readonly OrderTerm[]>[];
  readonly windows: readonly At<Window>[];
}

/** What is said of the relation itself. */
export function ofItself<T>(items: readonly At<T>[]): readonly T[] {
  return items.filter(({ path }) => path.length === 0).map(({ value }) => value);
}

/** What is said of the relations embedded in it. */
export function ofEmbedded<T>(items: readonly At<T>[]): readonly At<T>[] {
  return items.filter(({ path }) => path.length > 0);
}
