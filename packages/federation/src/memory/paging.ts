/** The most rows to ask for at once; a server may give fewer (hosted: 1000), so that a short page never means the end. */
export const pageSize = 1000;

/**
 * Collects up to `limit` rows, page by page, until one is empty. `read` gets what is there already and how many to ask for; rows that
 * come twice, because others write meanwhile, are kept once.
 */
export async function readPages<Row>(
  limit: number,
  keyOf: (row: Row) => string,
  read: (had: readonly Row[], count: number) => Promise<readonly Row[]>,
): Promise<Row[]> {
  const rows = new Map<string, Row>();
  const had: Row[] = [];
  while (rows.size < limit) {
    const page = await read(had, Math.min(pageSize, limit - rows.size));
    if (page.length === 0) break;
    had.push(...page);
    for (const row of page) if (!rows.has(keyOf(row))) rows.set(keyOf(row), row);
  }
  return [...rows.values()].slice(0, limit);
}
