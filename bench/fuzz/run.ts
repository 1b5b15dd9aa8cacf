import { once } from "node:events";
import { firstMessage, startOwnProcess } from "../harness/own-process.ts";
import { summarize, type Summary } from "../harness/statistics.ts";
import { Attacker } from "./attacker.ts";
import { hostileFrame, rightJoin, type FrameKind } from "./frames.ts";
import { GoodClients } from "./good-clients.ts";
import { Random } from "./random.ts";
import type { Attacked, Condition } from "./serve.ts";

export interface FuzzOptions {
  readonly frames: number;
  readonly seed: number;
  /** Called now and then with the frames sent so far. */
  readonly onProgress?: (frames: number) => void;
}

export interface FuzzAnswer {
  readonly frames: number;
  readonly seed: number;
  readonly totalMs: number;
  readonly kinds: Readonly<Partial<Record<FrameKind, number>>>;
  /** Sockets of attackers that ended and were replaced. */
  readonly reconnects: number;
  /** There and back again, before and during the attack. */
  readonly exchangesBefore: Summary;
  readonly exchangesDuring: Summary;
  readonly meetings: number;
  /** After the warm-up, once every attacker has left. */
  readonly before: Condition & Counts;
  readonly after: Condition & Counts;
}

interface Counts {
  readonly sockets: number;
  readonly channels: number;
  /** Since the start: what the server read, and what it did with it. */
  readonly framesIn: number;
  readonly framesOut: number;
  readonly joinsAccepted: number;
  readonly joinsRefused: number;
  readonly slowReaders: number;
}

const ATTACKERS = 32;
const BURST = 40;
/** This one is where most is said and reads nothing of it: it waits on the server, until that lets the reader go. */
const NEVER_READS = 1;
/** Where everybody is, the good clients too. */
const TOWN = "realtime:town";
const topics = [
  "realtime:town",
  ...Array.from({ length: 16 }, (_, n) => `realtime:t${n}`),
  "realtime:private:p",
] as const;

/** Attacks a server of its own. Rejects when it ends, disturbs the good clients, or does not let go of what it held. */
export async function fuzz(options: FuzzOptions): Promise<FuzzAnswer> {
  const file = new URL("serve.ts", import.meta.url);
  const server = startOwnProcess(file, null);
  let isOver = false;
  const died = once(server, "exit").then(([code, signal]: unknown[]) => {
    if (!isOver) throw new Error(`the server ended with ${String(signal ?? code)}`);
  });
  died.catch(() => {}); // told by the race below
  try {
    const attacked = (await firstMessage(server, file)) as Attacked; // serve.ts sends this first
    const condition = async (): Promise<Condition & Counts> => {
      const counts = await settled(attacked);
      const answer = once(server, "message");
      server.send("condition");
      const [memory] = (await Promise.race([answer, died.then(() => [])])) as [Condition]; // the only other message
      return { ...memory, ...counts };
    };
    return (await Promise.race([attack(options, attacked, condition), died])) as FuzzAnswer; // `died` never resolves before the end
  } finally {
    isOver = true;
    if (server.connected) server.disconnect();
    if (server.exitCode === null && server.signalCode === null) await once(server, "exit");
  }
}

async function attack(
  { frames, seed, onProgress }: FuzzOptions,
  attacked: Attacked,
  condition: () => Promise<Condition & Counts>,
): Promise<FuzzAnswer> {
  const begun = performance.now();
  const good = await GoodClients.open(attacked, TOWN.replace("realtime:", ""));
  try {
    const exchangesBefore: number[] = [];
    for (let i = 0; i < 100; i++) exchangesBefore.push(await good.exchange());
    const horde = new Horde(attacked, seed, onProgress);
    const warmUp = Math.min(20_000, Math.floor(frames / 4));
    await horde.send(warmUp);
    await horde.leave();
    const before = await condition();

    const exchangesDuring: number[] = [];
    let meetings = 0;
    let isSending = true;
    const sending = horde.send(frames - warmUp).finally(() => (isSending = false));
    sending.catch(() => {}); // awaited below
    while (isSending || exchangesDuring.length === 0) {
      for (let i = 0; i < 20 && (isSending || exchangesDuring.length === 0); i++)
        exchangesDuring.push(await good.exchange());
      await good.meet();
      meetings++;
    }
    await sending;
    await horde.leave();
    const after = await condition();
    await good.exchange();
    return {
      frames,
      seed,
      totalMs: Math.round(performance.now() - begun),
      kinds: horde.kinds,
      reconnects: horde.reconnects,
      exchangesBefore: summarize(exchangesBefore),
      exchangesDuring: summarize(exchangesDuring),
      meetings,
      before,
      after,
    };
  } finally {
    await good.close();
  }
}

/** Many sockets that take turns. What they send follows from the seed alone. */
class Horde {
  readonly kinds: Partial<Record<FrameKind, number>> = {};
  reconnects = 0;
  readonly #attacked: Attacked;
  readonly #random: Random;
  readonly #onProgress: (frames: number) => void;
  #attackers: (Attacker | undefined)[] = [];
  #sent = 0;

  constructor(attacked: Attacked, seed: number, onProgress: (frames: number) => void = () => {}) {
    this.#attacked = attacked;
    this.#random = new Random(seed);
    this.#onProgress = onProgress;
  }

  async send(frames: number): Promise<void> {
    const until = this.#sent + frames;
    const { accessToken, otherTokens } = this.#attacked;
    const tokens = [accessToken, accessToken, accessToken, accessToken, ...otherTokens] as const;
    while (this.#sent < until) {
      const turn = this.#random.below(ATTACKERS);
      const vsn = turn % 3 === 0 ? "1.0.0" : "2.0.0";
      const often = [TOWN, TOWN, TOWN, TOWN, TOWN, TOWN, TOWN, TOWN] as const;
      const home = `realtime:t${turn % 16}`;
      const speaker = { vsn, tokens, topics: [...often, home, home, home, ...topics] } as const;
      const burst: Buffer[] = [];
      let endsSocket = false;
      while (burst.length < (turn === NEVER_READS ? 1 : BURST) && this.#sent < until && !endsSocket) {
        const next = turn === NEVER_READS ? rightJoin(TOWN, vsn) : hostileFrame(this.#random, speaker);
        this.kinds[next.kind] = (this.kinds[next.kind] ?? 0) + 1;
        burst.push(next.bytes);
        ({ endsSocket } = next);
        this.#sent++;
      }
      const attacker = await this.#attacker(turn, vsn);
      await attacker.send(Buffer.concat(burst), { endsSocket });
      if (turn !== NEVER_READS && this.#random.chance(0.003)) this.#drop(turn);
      if (this.#sent % 10_000 < BURST) this.#onProgress(this.#sent);
    }
  }

  async leave(): Promise<void> {
    await Promise.all(this.#attackers.flatMap((attacker) => attacker?.settle() ?? []));
    for (const turn of this.#attackers.keys()) this.#drop(turn);
  }

  async #attacker(turn: number, vsn: "1.0.0" | "2.0.0"): Promise<Attacker> {
    const known = this.#attackers[turn];
    if (known !== undefined && !known.isGone) return known;
    this.#drop(turn);
    this.reconnects++;
    const { url, anonKey } = this.#attacked;
    const attacker = await Attacker.connect(url, anonKey, { vsn, reads: turn !== NEVER_READS });
    this.#attackers[turn] = attacker;
    await attacker.send(
      Buffer.concat([TOWN, `realtime:t${turn % 16}`].map((topic) => rightJoin(topic, vsn).bytes)),
    );
    return attacker;
  }

  #drop(turn: number): void {
    this.#attackers[turn]?.leave(turn % 2 === 0);
    this.#attackers[turn] = undefined;
  }
}

/** Waits until the server has no sockets and channels but the good clients'. */
async function settled({ url }: Attacked): Promise<Counts> {
  const deadline = performance.now() + 15_000;
  for (;;) {
    const counts = readMetrics(await (await fetch(`${url}/metrics`)).text());
    const isSettled = counts.sockets === GoodClients.sockets && counts.channels === GoodClients.channels;
    if (isSettled && (await fetch(`${url}/health`)).ok) return counts;
    if (performance.now() > deadline)
      throw new Error(
        `${counts.sockets} sockets and ${counts.channels} channels are left 15 s after the last attacker`,
      );
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

function readMetrics(text: string): Counts {
  const lines = text.split("\n");
  const value = (name: string): number =>
    Number(lines.find((line) => line.startsWith(`${name} `))?.slice(name.length + 1));
  return {
    sockets: value("realtime_sockets"),
    channels: value("realtime_channels"),
    framesIn: value('realtime_frames_total{direction="in"}'),
    framesOut: value('realtime_frames_total{direction="out"}'),
    joinsAccepted: value('realtime_joins_total{answer="ok"}'),
    joinsRefused: value('realtime_joins_total{answer="error"}'),
    slowReaders: value('realtime_drops_total{kind="slow_reader"}'),
  };
}
