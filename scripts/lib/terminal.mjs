// What a person sees: headings for what takes long, one clear line for what failed.

const colours = process.stderr.isTTY && process.env["NO_COLOR"] === undefined;

/** @param {number} code @param {string} text */
const paint = (code, text) => (colours ? `\u001b[${code}m${text}\u001b[0m` : text);

/** A step begins. Progress goes to stderr: a program's answer on stdout stays clean. @param {string} text */
export function step(text) {
  process.stderr.write(`${paint(36, "▸")} ${text}\n`);
}

/** @param {string} text */
export function good(text) {
  process.stderr.write(`${paint(32, "✓")} ${text}\n`);
}

/** @param {string} text */
export function bad(text) {
  process.stderr.write(`${paint(31, "✗")} ${text}\n`);
}

/** @param {string} text */
export function note(text) {
  process.stderr.write(`${paint(33, "!")} ${text}\n`);
}

/** Prints `text` and ends when the command line asks for help. @param {string} text */
export function helpIfAsked(text) {
  const own = process.argv.slice(2);
  if (!own.includes("--help") && !own.includes("-h")) return;
  process.stdout.write(`${text.trim()}\n`);
  process.exit(0);
}

/** The time since `start` (Date.now()), as people say it. @param {number} start */
export function since(start) {
  const seconds = (Date.now() - start) / 1000;
  return seconds < 60
    ? `${seconds.toFixed(1)} s`
    : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}
