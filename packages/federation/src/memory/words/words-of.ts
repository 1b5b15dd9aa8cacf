// A longer run of letters (base64, a hash of hashes) is found by its beginning. In UTF-16 units, so at most 765 bytes of a key.
const longestWord = 255;

// A word is letters, digits and the marks that belong to them: without the marks, Hindi or Thai would fall apart.
const wordPattern = /[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu;
const beyondAscii = /[^\0-\x7f]/;

/**
 * Calls `visit` with every word of a text, in order: runs of letters and digits, in NFKC and lower case, without stemming.
 *
 * Agrees with Postgres' `simple` configuration on plain prose. It differs where Postgres' parser knows more than words: of an
 * address, a host, a path, a version or a hyphenated word Postgres keeps the whole as well, and `-5` or `3.14` as a number, of which here
 * are only the parts; it leaves out tags such as `<b>`, which are words here. Postgres does not fold width and ligatures (NFKC), and its lower
 * case is that of the database's locale. Chinese, Japanese and Thai are cut in neither: a run of letters is one word, found by its beginning.
 */
export function eachWord(text: string, visit: (word: string) => void): void {
  if (!beyondAscii.test(text)) return eachAsciiWord(text.toLowerCase(), visit);
  for (const [word] of text.normalize("NFKC").toLowerCase().matchAll(wordPattern)) visit(cut(word));
}

/** The same for text of ASCII in lower case, several times faster than the pattern: contents are mostly that, and indexing is mostly this. */
function eachAsciiWord(text: string, visit: (word: string) => void): void {
  let start = -1;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    const isInWord = (code >= 97 && code <= 122) || (code >= 48 && code <= 57);
    if (isInWord) {
      if (start === -1) start = at;
    } else if (start !== -1) {
      visit(cut(text.slice(start, at)));
      start = -1;
    }
  }
  if (start !== -1) visit(cut(text.slice(start)));
}

function cut(word: string): string {
  if (word.length <= longestWord) return word;
  const isHalfPair = (word.charCodeAt(longestWord - 1) & 0xfc00) === 0xd800;
  return word.slice(0, isHalfPair ? longestWord - 1 : longestWord);
}
