import type { Clock } from "../runtime/clock.ts";
import { FederationError } from "../runtime/errors.ts";
import type { CoordinationMessage } from "./message.ts";
import {
  hasReached,
  parseMessageFacts,
  parseReceipt,
  type MessageReceipt,
  type MessageState,
  type StoredMessage,
} from "./receipt.ts";
import { Waits } from "./waits.ts";

/** The type of the messages that `message.reply()` sends. */
export const replyType = "reply";

export interface ListMessagesOptions {
  /** `inbox`: to this agent; `sent`: by it; `all`: both, and what was sent to everybody. Default `all`. */
  readonly box?: "inbox" | "sent" | "all";
  /** `waiting`: in nobody's hands yet; `dead`: given up. */
  readonly state?: "waiting" | "delivered" | "handled" | "dead";
  readonly type?: string;
  /** Sent by this agent or to it. */
  readonly peer?: string;
  readonly replyTo?: string;
  /** The `seq` of the last message of the page before. */
  readonly before?: number;
  /** Default 100. */
  readonly limit?: number;
}

export interface WaitingOptions {
  /** Milliseconds; default 30000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface CorrespondenceParts {
  readonly agentId: string;
  readonly clock: Clock;
  readonly call: (name: string, args: Readonly<Record<string, unknown>>) => Promise<unknown>;
  /** A reply was taken by whoever asked. */
  readonly handled: (id: string) => void;
  readonly tellReceipt: (receipt: MessageReceipt) => void;
}

const defaultTimeoutMs = 30_000;

/** What became of messages: receipts of those that were sent, and replies to them. */
export class Correspondence {
  readonly #parts: CorrespondenceParts;
  readonly #receipts: Waits<MessageReceipt>;
  readonly #replies: Waits<CoordinationMessage>;

  constructor(parts: CorrespondenceParts) {
    this.#parts = parts;
    this.#receipts = new Waits(parts.clock);
    this.#replies = new Waits(parts.clock);
  }

  /** A `receipt` event of the inbox. */
  heardReceipt(payload: unknown): void {
    const receipt = parseReceipt(payload);
    if (receipt === undefined) return;
    this.#parts.tellReceipt(receipt);
    this.#receipts.tell(receipt.id, receipt);
  }

  /** Whether it is a reply that somebody here waited for, who has it now. */
  tookReply(message: CoordinationMessage): boolean {
    const asked = message.reply_to;
    if (asked === undefined || message.to_agent !== this.#parts.agentId || !this.#replies.has(asked))
      return false;
    this.#replies.tell(asked, message);
    return message.type === replyType;
  }

  async askReceipts(id: string): Promise<void> {
    await this.#parts.call("ask_receipts", { id });
  }

  /** Resolves when the message got that far. Rejects with "undelivered" when it is a dead letter, "timeout", or the signal's reason. */
  waitFor(id: string, state: MessageState, options: WaitingOptions = {}): Promise<MessageReceipt> {
    const decide = (receipt: MessageReceipt | undefined): MessageReceipt | undefined => {
      if (receipt === undefined) return undefined;
      if (hasReached(receipt, state)) return receipt;
      if (receipt.dead_at === undefined) return undefined;
      throw new FederationError(
        "undelivered",
        `message ${id} to ${receipt.to_agent ?? "everybody"}: given up after ${receipt.delivery_attempt} deliveries: ${receipt.last_error ?? "no reason given"}`,
        { remedy: "It lies in the recipient's dead letters; requeueMessage() there delivers it again" },
      );
    };
    return this.#receipts.within(
      {
        timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
        signal: options.signal,
        what: `message ${id} ${state}`,
        remedy: "It is stored all the same and goes on; look with getMessage()",
      },
      (signal) =>
        this.#receipts.until({
          key: id,
          look: async () => decide(parseReceipt(await this.#parts.call("ask_receipts", { id }))),
          accept: decide,
          signal,
        }),
    );
  }

  /** Resolves to the reply of `from` to message `id`, whenever it came. */
  reply(id: string, from: string, options: WaitingOptions = {}): Promise<CoordinationMessage> {
    return this.#replies.within(
      {
        timeoutMs: options.timeoutMs ?? defaultTimeoutMs,
        signal: options.signal,
        what: `request ${id}: a reply of ${from}`,
        remedy: "Ask again with the same requestId to go on waiting, or raise timeoutMs",
      },
      async (signal) => {
        const reply = await this.#replies.until<CoordinationMessage>({
          key: id,
          look: async () =>
            (await this.list({ box: "inbox", replyTo: id, type: replyType, peer: from })).at(-1),
          accept: (message) =>
            message.from_agent === from && message.type === replyType ? message : undefined,
          signal,
        });
        this.#parts.handled(reply.id);
        return reply;
      },
    );
  }

  /** Every answer to message `id`, in the order in which they came, until the time is over or the signal aborts. */
  async *answers(id: string, options: WaitingOptions = {}): AsyncGenerator<CoordinationMessage, void> {
    const { clock } = this.#parts;
    const endMs = clock.now() + (options.timeoutMs ?? defaultTimeoutMs);
    const given = new Set<string>();
    const over = new FederationError("timeout", "no more answers are waited for");
    while (clock.now() < endMs && options.signal?.aborted !== true) {
      const next = await this.#replies
        .within(
          { timeoutMs: endMs - clock.now(), signal: options.signal, what: over.message, remedy: "" },
          (signal) =>
            this.#replies.until<readonly CoordinationMessage[]>({
              key: id,
              look: async () => {
                const all = await this.list({ box: "inbox", replyTo: id, limit: 1000 });
                const fresh = all.filter((message) => !given.has(message.id)).toReversed();
                return fresh.length === 0 ? undefined : fresh;
              },
              signal,
            }),
        )
        .catch((error: unknown) => {
          if (options.signal?.aborted === true || clock.now() >= endMs) return [];
          throw error;
        });
      for (const message of next) {
        given.add(message.id);
        if (message.type === replyType) this.#parts.handled(message.id);
        yield message;
      }
    }
  }

  async get(id: string): Promise<StoredMessage | undefined> {
    return parseMessageFacts(await this.#parts.call("get_message", { id }));
  }

  /** Newest first. */
  async list(options: ListMessagesOptions = {}): Promise<StoredMessage[]> {
    const { replyTo, before, limit = 100, ...filter } = options;
    const rows = await this.#parts.call("list_messages", {
      filter: { ...filter, reply_to: replyTo, before_seq: before },
      max_rows: limit,
    });
    if (!Array.isArray(rows))
      throw new FederationError("protocol", "list_messages: the answer is not a list");
    return rows.flatMap((row: unknown) => parseMessageFacts(row) ?? []);
  }

  close(): void {
    this.#receipts.close();
    this.#replies.close();
  }
}
