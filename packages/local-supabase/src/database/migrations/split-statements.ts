export interface Statement {
  /** Without leading comments and without its semicolon. */
  readonly text: string;
  /** Where `text` begins in the script, in UTF-16 units. */
  readonly start: number;
}

/**
 * The statements of a script. Semicolons inside strings, quoted names, dollar quotes, comments and `begin atomic` bodies
 * end nothing. What is never closed runs to the end of the script; Postgres says what is wrong with it.
 */
export function splitStatements(script: string): Statement[] {
  const statements: Statement[] = [];
  let start: number | undefined;
  let end = 0;
  let atomicDepth = 0;
  let previousWord = "";
  const finish = (): void => {
    if (start !== undefined && end > start) statements.push({ text: script.slice(start, end), start });
    start = undefined;
    atomicDepth = 0;
    previousWord = "";
  };
  for (const token of tokens(script)) {
    if (token.kind === "blank") continue;
    if (token.kind === "semicolon" && atomicDepth === 0) {
      finish();
      continue;
    }
    start ??= token.start;
    end = token.end;
    if (token.kind !== "word") continue;
    const word = script.slice(token.start, token.end).toLowerCase();
    if (atomicDepth === 0) atomicDepth = word === "atomic" && previousWord === "begin" ? 1 : 0;
    else if (word === "case") atomicDepth += 1;
    else if (word === "end") atomicDepth -= 1;
    previousWord = word;
  }
  finish();
  return statements;
}

interface Token {
  readonly kind: "blank" | "semicolon" | "word" | "other";
  readonly start: number;
  readonly end: number;
}

const blank = /(?:\s+|--[^\n]*)+/y;
const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const dollarQuote = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const plainString = /'(?:[^']|'')*(?:'|$)/y;
const escapeString = /[eE]'(?:[^'\\]|''|\\[^])*(?:'|$)/y;
const quotedName = /"(?:[^"]|"")*(?:"|$)/y;
const number = /\$?\d[\w.]*/y;

function* tokens(script: string): Generator<Token> {
  let at = 0;
  const match = (pattern: RegExp): number | undefined => {
    pattern.lastIndex = at;
    return pattern.test(script) ? pattern.lastIndex : undefined;
  };
  while (at < script.length) {
    const start = at;
    let kind: Token["kind"] = "other";
    let end = match(blank);
    if (end !== undefined) kind = "blank";
    else if (script.startsWith("/*", at)) {
      kind = "blank";
      end = endOfComment(script, at);
    } else if (script[at] === ";") {
      kind = "semicolon";
      end = at + 1;
    } else if ((end = match(escapeString) ?? match(plainString) ?? match(quotedName)) === undefined) {
      const quote = match(dollarQuote);
      if (quote !== undefined) end = endOfDollarQuote(script, at, quote);
      else if ((end = match(word)) !== undefined) kind = "word";
      else end = match(number) ?? at + 1;
    }
    at = end;
    yield { kind, start, end };
  }
}

/** Comments of this kind nest. */
function endOfComment(script: string, start: number): number {
  const mark = /\/\*|\*\//g;
  mark.lastIndex = start;
  let depth = 0;
  for (;;) {
    const found = mark.exec(script);
    if (found === null) return script.length;
    depth += found[0] === "/*" ? 1 : -1;
    if (depth === 0) return mark.lastIndex;
  }
}

function endOfDollarQuote(script: string, start: number, bodyStart: number): number {
  const quote = script.slice(start, bodyStart);
  const close = script.indexOf(quote, bodyStart);
  return close === -1 ? script.length : close + quote.length;
}
