/**
 * Import this before the library. supabase-js tells every process on Node 20 that Node 20 will be dropped one day; four processes
 * telling it hide what an example shows. The notice is in the project's README; any other warning is printed.
 */
const warn = console.warn.bind(console);
console.warn = (...args: unknown[]): void => {
  if (typeof args[0] === "string" && args[0].includes("Node.js 20 and below are deprecated")) return;
  warn(...args);
};
