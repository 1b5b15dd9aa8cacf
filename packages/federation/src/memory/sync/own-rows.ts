import type { MemoryRow } from "../memory-row.ts";
import { compareHlc } from "./hlc.ts";
import type { ServerRow } from "./sync-server.ts";

/** Rows that came brief, with what is held of the same write. Undefined where that is not held: then the page has to come in full. */
export function completed(
  rows: readonly ServerRow[],
  find: (id: string) => MemoryRow | undefined,
): readonly ServerRow[] | undefined {
  const whole: ServerRow[] = [];
  for (const each of rows) {
    if (each.isBrief !== true) {
      whole.push(each);
      continue;
    }
    const held = find(each.row.id);
    if (held === undefined || held.deleted_at !== null || compareHlc(held.hlc, each.row.hlc) !== 0)
      return undefined;
    const { content, embedding, metadata, source } = held;
    whole.push({ ...each, isBrief: false, row: { ...each.row, content, embedding, metadata, source } });
  }
  return whole;
}
