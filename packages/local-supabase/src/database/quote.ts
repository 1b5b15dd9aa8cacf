/** A name as SQL writes it: `todo"s` becomes `"todo""s"`. A zero byte cannot be part of one. */
export function quoteIdentifier(name: string): string {
  if (name.includes("\0")) throw new TypeError("an identifier cannot contain a zero byte");
  return `"${name.replaceAll('"', '""')}"`;
}
