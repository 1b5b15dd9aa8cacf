import { resolve } from "node:path";
import { parseArgs } from "node:util";

export interface StartOptions {
  /** End when the team has finished. */
  readonly once: boolean;
  /** Undefined: 54321, or the next free one. */
  readonly port: number | undefined;
  /** Undefined: in memory. */
  readonly dataDir: string | undefined;
  readonly reportFile: string;
}

export const usage = `npm start [-- options]

Starts a local Supabase with this repository's migrations, prints its URL and keys, and lets a research team of three
processes work on it. Stays up until Ctrl-C.

  --once             end when the team has finished; exit code 0 only if it did
  --port <number>    where to listen on 127.0.0.1; default 54321, or the next free one
  --data-dir <path>  keep data and keys in this folder; default: in memory
  --report <path>    where the team's report goes; default .agent-federation/research-team/report.md
  --help             this text`;

/** What the command line asks for: options, the help text, or what is wrong with it in one line. */
export type Asked =
  | { readonly options: StartOptions }
  | { readonly help: true }
  | { readonly problem: string };

export function parseOptions(args: readonly string[]): Asked {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        once: { type: "boolean", default: false },
        port: { type: "string" },
        "data-dir": { type: "string" },
        report: { type: "string", default: ".agent-federation/research-team/report.md" },
        help: { type: "boolean", short: "h", default: false },
      },
    });
    if (values.help) return { help: true };
    const { once, port, "data-dir": dataDir, report } = values;
    if (port !== undefined && !(/^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535)) {
      return { problem: `--port: expected 1 to 65535, got ${JSON.stringify(port)}` };
    }
    return {
      options: {
        once,
        port: port === undefined ? undefined : Number(port),
        dataDir: dataDir === undefined ? undefined : resolve(dataDir),
        reportFile: resolve(report),
      },
    };
  } catch (error) {
    // parseArgs words what is wrong well, then explains itself at length.
    const [first = "unknown option"] = error instanceof Error ? error.message.split(". ") : [];
    return { problem: first };
  }
}
