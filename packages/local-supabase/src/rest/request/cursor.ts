import { parseError } from "../errors/request-errors.ts";
import type { RestError } from "../errors/rest-error.ts";

/**
 * Reads one parameter's text from left to right. Readers answer undefined or false and stay where they are when the
 * text is something else; what was expected is remembered for the furthest place reached, and `error` says it in
 * the words PostgREST uses.
 */
export class Cursor {
  readonly #text: string;
  #at = 0;
  #furthest = 0;
  readonly #expected = new Set<string>();
  #found: string | undefined;

  constructor(text: string) {
    this.#text = text;
  }

  /** Where to come back to with `rewind`. */
  get at(): number {
    return this.#at;
  }

  get ended(): boolean {
    return this.#at >= this.#text.length;
  }

  rewind(at: number): void {
    this.#at = at;
  }

  /** The next character, or "" at the end. Expects nothing. */
  peek(): string {
    return this.#text.charAt(this.#at);
  }

  rest(): string {
    const rest = this.#text.slice(this.#at);
    this.#at = this.#text.length;
    return rest;
  }

  /** Goes past `literal` if it comes next. */
  literal(literal: string, label: string = JSON.stringify(literal)): boolean {
    if (this.#text.startsWith(literal, this.#at)) {
      this.#at += literal.length;
      return true;
    }
    let same = 0;
    while (same < literal.length && this.#text[this.#at + same] === literal[same]) same += 1;
    this.#expect(label, this.#text.charAt(this.#at + same));
    return false;
  }

  /** Goes past what `pattern` (sticky) matches here. */
  match(pattern: RegExp, label: string): string | undefined {
    pattern.lastIndex = this.#at;
    const found = pattern.exec(this.#text)?.[0];
    if (found === undefined) this.expect(label);
    else this.#at += found.length;
    return found;
  }

  end(): boolean {
    if (!this.ended) this.expect("end of input");
    return this.ended;
  }

  /** Notes that `label` could have come next. */
  expect(label: string): void {
    this.#expect(label, this.peek());
  }

  #expect(label: string, found: string): void {
    if (this.#at < this.#furthest) return;
    if (this.#at > this.#furthest) {
      this.#furthest = this.#at;
      this.#expected.clear();
      this.#found = undefined;
    }
    this.#found ??= found;
    this.#expected.add(label);
  }

  /** `what` names the parameter: `failed to parse filter (noop.0)`. */
  error(what: string): RestError {
    const before = this.#text.slice(0, this.#furthest);
    const line = before.split("\n").length;
    const column = Array.from(before.slice(before.lastIndexOf("\n") + 1)).length + 1;
    return parseError(
      `"${what}" (line ${line}, column ${column})`,
      `unexpected ${this.#unexpected()} expecting ${listed([...this.#expected])}`,
    );
  }

  #unexpected(): string {
    const found = this.#found ?? this.peek();
    if (found === "") return "end of input";
    return this.#expected.has("end of input") ? `'${found}'` : JSON.stringify(found);
  }
}

/** `a, b or c`; the end of the input is named last. */
function listed(labels: readonly string[]): string {
  const ordered = labels.filter((label) => label !== "end of input");
  if (ordered.length < labels.length) ordered.push("end of input");
  return ordered.length < 2
    ? (ordered[0] ?? "something else")
    : `${ordered.slice(0, -1).join(", ")} or ${ordered.at(-1)}`;
}
