import { spawn, type ChildProcessByStdio } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { fileURLToPath } from "node:url";
import type { Hlc } from "../../../memory-row.ts";
import { compareHlc } from "../../../sync/hlc.ts";
import type { TcpProxy } from "../../../../testing/tcp-proxy.node.ts";
import type { LineState, WriteKind } from "./any-stack-history.ts";
import type { Command, MachineOrders, Said, Shown } from "./machine-lines.ts";

/** A write that a machine acknowledged. */
export interface Acknowledged {
  readonly id: string;
  /** Empty for a deletion. */
  readonly content: string;
  /** Of a memory that was stored: its clock is not before. */
  readonly updatedAt?: string | undefined;
}

type Answer = Extract<Said, { readonly did: number } | { readonly didNot: number }>;
// Without `n`, which is given when it is sent.
type Wanted = Command extends infer C ? (C extends Command ? Omit<C, "n"> : never) : never;

const program = fileURLToPath(new URL("machine-process.node.ts", import.meta.url));

/** An agent's machine: a folder and a line to the server that stay, and processes that may be killed. */
export class Machine {
  readonly name: string;
  readonly agent: string;
  readonly line: TcpProxy;
  lineState: LineState = "back";
  acknowledged: Acknowledged[] = [];
  /** What was sent to the server, and therefore was durable here: by id, the latest clock. */
  readonly sent = new Map<string, Hlc>();
  readonly sentContents = new Set<string>();
  /** By id, what listeners were told last; and what they were told twice. */
  readonly told = new Map<string, string>();
  readonly toldTwice: string[] = [];
  /** Whether no listener missed anything: none was closed since everybody was there. */
  hasListened = true;
  #child: ChildProcessByStdio<Writable, Readable, Readable> | undefined;
  #exited: Promise<unknown> = Promise.resolve();
  #orders: MachineOrders | undefined;
  #linesToDeath: number | undefined;
  #n = 0;
  readonly #waiting = new Map<number, (answer: Answer | undefined) => void>();
  #ready: Promise<unknown> = Promise.resolve();

  constructor(name: string, agent: string, line: TcpProxy) {
    this.name = name;
    this.agent = agent;
    this.line = line;
  }

  /** Another folder or another tenant: nothing was written, sent or told yet. */
  async begin(orders: MachineOrders): Promise<void> {
    await this.#ready;
    this.#orders = orders;
    await this.reopen();
    // Only now: until then the adapter before it may have said something.
    this.acknowledged = [];
    this.sent.clear();
    this.sentContents.clear();
    this.told.clear();
    this.toldTwice.length = 0;
  }

  /** A new adapter on the same folder. */
  async reopen(): Promise<void> {
    this.hasListened = false;
    const orders = this.#orders!; // given in begin
    if (this.#child === undefined) this.#spawn();
    const opened = this.#send({ does: "open", orders });
    this.#ready = opened;
    const answer = await opened;
    if (answer !== undefined && "didNot" in answer)
      throw new Error(`${this.name} did not open: ${answer.why}`);
  }

  async write(id: string, kind: WriteKind, content: string): Promise<void> {
    const orders = this.#orders;
    const answer = await this.ask({ does: "write", id, kind, content });
    const isElsewhere = orders !== this.#orders;
    if (answer === undefined || "didNot" in answer || isElsewhere) return;
    this.acknowledged.push({ id, content: kind === "delete" ? "" : content, updatedAt: answer.updatedAt });
  }

  /** Undefined where it could not. */
  async show(): Promise<Shown | undefined> {
    const answer = await this.ask({ does: "show" });
    return answer !== undefined && "did" in answer ? answer.shown : undefined;
  }

  /** Undefined where the process was killed before it answered. */
  async ask(wanted: Wanted): Promise<Answer | undefined> {
    await this.#ready;
    return await this.#send(wanted);
  }

  setLine(state: LineState): void {
    if (state === "cut") return this.line.cut();
    this.lineState = state;
    if (state === "away") this.line.refuse();
    else if (state === "silent") this.line.swallow();
    else this.line.restore();
  }

  /** When it has said so many lines more. */
  killAfter(lines: number): void {
    this.#linesToDeath = lines;
    if (lines === 0) this.kill();
  }

  get isDoomed(): boolean {
    return this.#linesToDeath !== undefined;
  }

  /** As `kill -9`; the next process begins at once. */
  kill(): void {
    this.#linesToDeath = undefined;
    const killed = this.#child;
    if (killed === undefined) return;
    const exited = this.#exited;
    killed.kill("SIGKILL");
    this.#child = undefined;
    this.hasListened = false;
    this.#ready = exited.then(() => this.reopen());
    this.#ready.catch(() => undefined); // whoever asks next is told
  }

  async close(): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    child?.stdin.end();
    await this.#exited;
    await this.line.close();
  }

  #spawn(): void {
    const args = ["--import", "tsx", "--conditions=@agent-federation/source", program];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "pipe"] });
    child.stdin.on("error", () => undefined); // it was killed
    let complaint = "";
    child.stderr.on("data", (chunk: Buffer) => (complaint += chunk.toString()));
    this.#child = child;
    const waiting = this.#waiting;
    const reader = createInterface({ input: child.stdout });
    reader.on("line", (line) => {
      this.#hear(JSON.parse(line) as Said); // of our own program
      if (this.#linesToDeath === undefined || this.#child !== child) return;
      if (--this.#linesToDeath <= 0) this.kill();
    });
    this.#exited = Promise.all([once(child, "exit"), once(reader, "close")]).then(() => {
      for (const answer of waiting.values()) answer(undefined);
      waiting.clear();
      if (this.#child !== child) return;
      this.#child = undefined;
      this.#ready = Promise.reject(new Error(`the process of ${this.name} ended by itself: ${complaint}`));
      this.#ready.catch(() => undefined); // whoever asks next is told
    });
  }

  #send(wanted: Wanted): Promise<Answer | undefined> {
    const n = ++this.#n;
    return new Promise((resolve) => {
      this.#waiting.set(n, resolve);
      this.#child?.stdin.write(`${JSON.stringify({ ...wanted, n })}\n`);
    });
  }

  #hear(said: Said): void {
    if ("sends" in said) {
      for (const { id, content, hlc } of said.sends) this.#note(id, content, hlc);
    } else if ("told" in said) {
      const { id, version, content } = said.told;
      const now = `${version} ${content}`;
      if (this.told.get(id) === now && this.hasListened) this.toldTwice.push(`${id} ${now}`);
      this.told.set(id, now);
    } else {
      const n = "did" in said ? said.did : said.didNot;
      this.#waiting.get(n)?.(said);
      this.#waiting.delete(n);
    }
  }

  #note(id: string, content: string, hlc: Hlc): void {
    if (content !== "") this.sentContents.add(content);
    const before = this.sent.get(id);
    if (before === undefined || compareHlc(hlc, before) > 0) this.sent.set(id, hlc);
  }
}
