import { rangeError } from "../errors/request-errors.ts";
import type { At, Window } from "./query-string.ts";

/**
 * Limit and offset of the outermost rows: what the query string and the `Range` header both allow. Without a `Range`
 * header, or with one that is not `from-to`, the query string alone.
 */
export function topWindow(windows: readonly At<Window>[], header: string | undefined): Window {
  const asked = windows.find(({ path }) => path.length === 0)?.value ?? { limit: undefined, offset: 0 };
  if (asked.limit === 0) return { limit: 0, offset: 0 };
  if (asked.limit !== undefined && asked.limit < 0) {
    throw rangeError("Limit should be greater than or equal to zero.");
  }
  const range = parseRangeHeader(header);
  if (range === undefined) return asked;
  if (range.to !== undefined && range.to < range.from) {
    throw rangeError(
      "The lower boundary must be lower than or equal to the upper boundary in the Range header.",
    );
  }
  const offset = Math.max(asked.offset, range.from);
  const end = Math.min(
    asked.limit === undefined ? Infinity : asked.offset + asked.limit,
    (range.to ?? Infinity) + 1,
  );
  if (end <= offset) throw rangeError("Limit should be greater than or equal to zero.");
  return { limit: end === Infinity ? undefined : end - offset, offset };
}

function parseRangeHeader(
  header: string | undefined,
): { readonly from: number; readonly to: number | undefined } | undefined {
  const [, from, to] = /^([0-9]{1,15})-([0-9]{0,15})$/.exec(header?.trim() ?? "") ?? [];
  if (from === undefined) return undefined;
  return { from: Number(from), to: to === undefined || to === "" ? undefined : Number(to) };
}

/** `Content-Range` of `count` rows from `offset` on; `total` undefined: not counted. */
export function contentRange(offset: number, count: number, total: number | undefined): string {
  const rows = count > 0 && total !== 0 ? `${offset}-${offset + count - 1}` : "*";
  return `${rows}/${total ?? "*"}`;
}
