/** A word as bytes `start` to `end` of UTF-8, valid during the call. */
export type VisitWord = (bytes: Uint8Array, start: number, end: number) => void;

// A longer run of letters (base64, a hash of hashes) is found by its beginning.
const longestWordBytes = 255;

// A word is letters, digits and the marks that belong to them: without the marks, Hindi would fall apart.
const wordPattern = /[\p{L}\p{N}][\p{L}\p{N}\p{M}]*/gu;
const beyondAscii = /[^\0-\x7f]/;

/** For each byte of ASCII, what it is in a word: itself in lower case, or 0 for none. */
const inWord = Uint8Array.from({ length: 256 }, (_, byte) => {
  const character = String.fromCharCode(byte).toLowerCase();
  return byte < 128 && /[a-z0-9]/.test(character) ? character.charCodeAt(0) : 0;
});

const encoder = new TextEncoder();
let scratch = new Uint8Array(4096);

/**
 * Calls `visit` with every word of a text, in order: runs of letters and digits, in NFKC and lower case, without stemming.
 *
 * Agrees with Postgres' `simple` configuration on prose. It differs where Postgres' parser sees more than words: an address, a name with dots, a path
 * (`and/or` is one), a version and a number with sign or fraction are one word there and several here; of a hyphenated word Postgres keeps the
 * whole beside the parts; entities (`&amp;`) it leaves out. It does not fold width, ligatures and combining accents (NFKC). Chinese,
 * Japanese and Thai are cut in neither: a run of letters is one word, found by its beginning.
 */
export function eachWord(text: string, visit: VisitWord): void {
  if (!beyondAscii.test(text)) return eachAsciiWord(text, visit);
  for (const [word] of text.normalize("NFKC").toLowerCase().matchAll(wordPattern))
    visit(scratch, 0, wordEnd(scratch, 0, encode(word)));
}

/** The same, several times faster than the pattern: contents are mostly ASCII, and indexing is mostly this. */
function eachAsciiWord(text: string, visit: VisitWord): void {
  const length = encode(text);
  const bytes = scratch;
  let start = -1;
  for (let at = 0; at < length; at++) {
    const byte = inWord[bytes[at] ?? 0] ?? 0;
    if (byte !== 0) {
      bytes[at] = byte;
      if (start === -1) start = at;
    } else if (start !== -1) {
      visit(bytes, start, wordEnd(bytes, start, at));
      start = -1;
    }
  }
  if (start !== -1) visit(bytes, start, wordEnd(bytes, start, length));
}

function encode(text: string): number {
  if (scratch.length < 3 * text.length) scratch = new Uint8Array(3 * text.length);
  return encoder.encodeInto(text, scratch).written;
}

/** Where the word ends when it is cut, never within a character. */
function wordEnd(bytes: Uint8Array, start: number, end: number): number {
  if (end - start <= longestWordBytes) return end;
  let cut = start + longestWordBytes;
  while (((bytes[cut] ?? 0) & 0xc0) === 0x80) cut--;
  return cut;
}
