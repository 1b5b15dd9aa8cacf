import { objectMemberTexts } from "../codec/json-text.ts";
import type { RowEvent } from "./binding.ts";
import type { Column, TableFacts } from "./table-facts.ts";

/** One changed row, as the trigger wrote it down. Cells are JSON texts, so that no number loses a digit. */
export interface CapturedRow {
  readonly relation: string;
  readonly schema: string;
  readonly table: string;
  readonly event: RowEvent;
  readonly newCells: ReadonlyMap<string, string> | undefined;
  readonly oldCells: ReadonlyMap<string, string> | undefined;
  /** Bytes of the new row as JSON; 0 for a delete. */
  readonly newBytes: number;
  readonly committedAtMs: number;
}

export function readCells(json: string | null | undefined): ReadonlyMap<string, string> | undefined {
  return json == null ? undefined : objectMemberTexts(json);
}

const maxRowBytes = 1_048_576;
const longestCellOfLargeRow = 64;
const toastedFromBytes = 2000;

/** What of a row a role is shown when it asked for `select`; a whole `data` member of a frame, as JSON. */
export function dataJson(row: CapturedRow, facts: TableFacts, select: readonly string[] | undefined): string {
  const timestamp = JSON.stringify(new Date(row.committedAtMs).toISOString());
  const head = `"table":${JSON.stringify(row.table)},"type":"${row.event}"`;
  const refusal = refusalOf(row, facts);
  if (refusal !== undefined) {
    const old = row.event === "UPDATE" ? `,"old_record":{}` : "";
    return `{${head},"record":{},"columns":[],"errors":[${JSON.stringify(refusal)}],"schema":${JSON.stringify(row.schema)},"commit_timestamp":null${old}}`;
  }
  const shown = facts.columns.filter(
    ({ name, isKey, isSelectable }) =>
      isSelectable && (select === undefined || isKey || select.includes(name)),
  );
  const isLarge = sizeOf(row, facts) > maxRowBytes;
  const columns = shown.map(
    ({ name, type }) => `{"name":${JSON.stringify(name)},"type":${JSON.stringify(type)}}`,
  );
  const record =
    row.newCells === undefined
      ? ""
      : `"record":${recordJson(row.newCells, shown, isLarge, unchangedOf(row))},`;
  const old =
    row.oldCells === undefined
      ? ""
      : `,"old_record":${recordJson(row.oldCells, oldColumns(row, facts, shown), isLarge)}`;
  const errors = isLarge ? `["Error 413: Payload Too Large"]` : "null";
  return `{${head},${record}"columns":[${columns.join(",")}],"errors":${errors},"schema":${JSON.stringify(row.schema)},"commit_timestamp":${timestamp}${old}}`;
}

/** What a replication log would carry of it: the new row, and of the old one what identifies it. */
function sizeOf({ newBytes, oldCells }: CapturedRow, { columns }: TableFacts): number {
  const identity = columns.filter(({ isIdentity }) => isIdentity);
  return identity.reduce((bytes, { name }) => bytes + Buffer.byteLength(oldCells?.get(name) ?? ""), newBytes);
}

/** Whether the row cannot be shown at all. A delete always can: it shows what there is to show. */
export function refusalOf(row: CapturedRow, facts: TableFacts): string | undefined {
  if (row.event === "DELETE") return undefined;
  const keys = facts.columns.filter(({ isKey }) => isKey);
  if (keys.length === 0) return "Error 400: Bad Request, no primary key";
  return keys.every(({ isSelectable }) => isSelectable) ? undefined : "Error 401: Unauthorized";
}

/** What filters look at: the new row, of a delete what its `old_record` may show. */
export function subjectCells(row: CapturedRow, facts: TableFacts): ReadonlyMap<string, string> {
  if (row.newCells !== undefined) return row.newCells;
  const names = new Set(oldColumns(row, facts, facts.columns).map(({ name }) => name));
  return new Map([...(row.oldCells ?? [])].filter(([name]) => names.has(name)));
}

/** Policies say nothing of rows that are gone, so under row level security a delete shows the primary key only. */
function oldColumns(row: CapturedRow, facts: TableFacts, among: readonly Column[]): readonly Column[] {
  const isSecret = row.event === "DELETE" && facts.hasRowSecurity;
  return among.filter(({ isKey, isIdentity }) => (isSecret ? isKey && isIdentity : isIdentity));
}

function recordJson(
  cells: ReadonlyMap<string, string>,
  columns: readonly Column[],
  isLarge: boolean,
  isUnchanged: (column: Column) => boolean = () => false,
): string {
  const members: string[] = [];
  for (const column of columns) {
    const cell = cells.get(column.name);
    if (cell === undefined || isUnchanged(column)) continue;
    const written = writtenCell(cell, column.type);
    if (isLarge && (cell === "null" || Buffer.byteLength(written) > longestCellOfLargeRow)) continue;
    members.push(`${JSON.stringify(column.name)}:${written}`);
  }
  return `{${members.join(",")}}`;
}

/**
 * The replication log of a real server leaves out a long value that an update did not touch, unless it is part of the
 * replica identity. Here: what could be stored apart, is as long as Postgres begins to do so, and is equal to what it was.
 */
function unchangedOf({ newCells, oldCells }: CapturedRow): (column: Column) => boolean {
  if (newCells === undefined || oldCells === undefined) return () => false;
  return ({ name, isToastable, isIdentity }) => {
    const cell = newCells.get(name) ?? "";
    return isToastable && !isIdentity && cell.length > toastedFromBytes && oldCells.get(name) === cell;
  };
}

/** `bytea` is written as hex digits alone; numbers that JSON does not have are null. */
function writtenCell(cell: string, type: string): string {
  if (cell[0] !== '"') return cell;
  if (type === "bytea") return cell.replace(/^"\\\\x/, '"');
  const isNumber = type === "numeric" || type === "float4" || type === "float8";
  return isNumber ? "null" : cell;
}
