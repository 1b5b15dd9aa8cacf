import { FederationError, isFederationError, toError } from "../../runtime/errors.ts";
import { parseExportLine, type ExportLine } from "./memory-line.ts";
import { splitLines, type Chunks, type Line } from "./split-lines.ts";
import { isNewer, storeNewer, type MemorySink, type TransferMemory } from "./transfer-memory.ts";

export interface ImportOptions {
  /** Goes on behind this line of the same export. Default: the start; importing again is harmless, only slower. */
  readonly afterLine?: number | undefined;
  /** What to do with a damaged line: `stop` rejects, everything before it being stored; `skip` lists it in the result. Default `stop`. */
  readonly onDamaged?: "stop" | "skip" | undefined;
  /** Called when everything up to a line is stored. */
  readonly onProgress?: ((progress: ImportProgress) => void) | undefined;
  /** Memories stored at once. Default 500, fewer where they are large. */
  readonly batchRows?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface ImportProgress {
  /** Everything up to this line is stored: `afterLine` of an import that goes on. */
  readonly line: number;
  readonly stored: number;
  /** There already, as new or newer. */
  readonly unchanged: number;
  readonly damaged: number;
}

export interface DamagedLine {
  readonly line: number;
  readonly reason: string;
}

export interface ImportResult {
  readonly stored: number;
  readonly unchanged: number;
  /** The first hundred of them; `damagedCount` is how many there are. */
  readonly damaged: readonly DamagedLine[];
  readonly damagedCount: number;
  /** Whether the line was there that says that this is all; without it the end of the export is missing. */
  readonly isComplete: boolean;
}

const batchBytes = 4 * 1024 * 1024;
const listedDamages = 100;

/**
 * Stores the memories of an export that are not there yet, or older there; the same import again changes nothing. Reads on only as fast as is
 * stored. Rejects with FederationError "invalid_argument" or "too_large" for a damaged line, naming its number, and with the signal's reason.
 */
export async function importMemories(
  chunks: Chunks,
  sink: MemorySink,
  options: ImportOptions = {},
): Promise<ImportResult> {
  const { afterLine = 0, signal } = options;
  const run = new ImportRun(sink, options);
  let isFirst = true;
  signal?.throwIfAborted();
  for await (const line of splitLines(chunks)) {
    signal?.throwIfAborted();
    if (isFirst) await requireHeader(line);
    else if (line.number > afterLine) await run.take(line);
    isFirst = false;
  }
  if (isFirst) throw new FederationError("invalid_argument", "import: expected a header line, got nothing");
  return await run.finish();
}

async function requireHeader(line: Line): Promise<void> {
  const attempt = "import: expected the header of an export in the first line";
  let kind: ExportLine["kind"] | undefined;
  try {
    kind = line.text === undefined ? undefined : (await parseExportLine(line.text)).kind;
  } catch (error) {
    const code = isFederationError(error, "unsupported") ? "unsupported" : "invalid_argument";
    throw new FederationError(code, `${attempt}: ${toError(error).message}`);
  }
  if (kind !== "header") throw new FederationError("invalid_argument", `${attempt}, got another`);
}

class ImportRun {
  readonly #sink: MemorySink;
  readonly #options: ImportOptions;
  /** By id: of one that comes twice the newer stays. */
  readonly #batch = new Map<string, TransferMemory>();
  #batchBytes = 0;
  #line = 1;
  #stored = 0;
  #unchanged = 0;
  #isComplete = false;
  #damagedCount = 0;
  readonly #damaged: DamagedLine[] = [];

  constructor(sink: MemorySink, options: ImportOptions) {
    this.#sink = sink;
    this.#options = options;
  }

  async take(line: Line): Promise<void> {
    const found = await this.#parse(line);
    this.#line = line.number;
    if (found === undefined || found.kind === "header") return;
    this.#isComplete = found.kind === "end";
    if (found.kind === "end") return;
    this.#add(found.memory);
    this.#batchBytes += line.text?.length ?? 0;
    const { batchRows = 500 } = this.#options;
    if (this.#batch.size >= batchRows || this.#batchBytes >= batchBytes) await this.#store();
  }

  async finish(): Promise<ImportResult> {
    await this.#store();
    return {
      stored: this.#stored,
      unchanged: this.#unchanged,
      damaged: this.#damaged,
      damagedCount: this.#damagedCount,
      isComplete: this.#isComplete,
    };
  }

  async #parse(line: Line): Promise<ExportLine | undefined> {
    try {
      if (line.text !== undefined) return await parseExportLine(line.text);
      throw new FederationError("invalid_argument", line.problem ?? "expected text");
    } catch (error) {
      if (!isFederationError(error)) throw error;
      const isDamage = error.code === "invalid_argument" || error.code === "too_large";
      if (!isDamage || this.#options.onDamaged !== "skip") {
        await this.#store();
        throw new FederationError(error.code, `import: line ${line.number}: ${error.message}`);
      }
      this.#damagedCount += 1;
      if (this.#damaged.length < listedDamages)
        this.#damaged.push({ line: line.number, reason: error.message });
      return undefined;
    }
  }

  #add(memory: TransferMemory): void {
    const other = this.#batch.get(memory.id);
    if (other === undefined) this.#batch.set(memory.id, memory);
    else {
      this.#unchanged += 1;
      if (isNewer(memory, other)) this.#batch.set(memory.id, memory);
    }
  }

  async #store(): Promise<void> {
    if (this.#batch.size > 0) {
      const stored = await storeNewer(this.#sink, [...this.#batch.values()]);
      this.#stored += stored;
      this.#unchanged += this.#batch.size - stored;
      this.#batch.clear();
      this.#batchBytes = 0;
    }
    this.#options.onProgress?.({
      line: this.#line,
      stored: this.#stored,
      unchanged: this.#unchanged,
      damaged: this.#damagedCount,
    });
  }
}
