import { DependableChannel } from "../../connection/dependable-channel.ts";
import { toError } from "../../runtime/errors.ts";
import { Scope } from "../../runtime/scope.ts";
import type { Acting } from "../acting.ts";
import type { ResolvedAdapterOptions } from "../adapter-options.ts";
import { patiently } from "../memory-subscription.ts";

export interface HintParts {
  readonly options: ResolvedAdapterOptions;
  /** A connection of its own. */
  readonly open: () => Promise<Acting>;
  /** The server may have something new. */
  readonly onHint: () => void;
}

/**
 * Listens on the feed of a tenant, and on the inbox of the agent for whom the connection speaks, for announcements of memories, and
 * calls `onHint` for each, and whenever some may have been missed. What they say is not believed: it is only a reason to look. Returns
 * what ends it.
 */
export function listenForHints({ options, open, onHint }: HintParts): () => Promise<void> {
  const { clock, random, log, requestTimeoutMs } = options;
  const scope = new Scope((error) => log("error", "the hints of memories failed", { error: toError(error) }));
  scope.run(async (signal) => {
    const acting = await patiently(open, options, () => undefined, signal);
    if (acting === undefined) return;
    scope.defer(() => acting.connection.close());
    const { tenantId, agentId, connection } = acting;
    const feed = `federation:${tenantId}:feed`;
    const topics = agentId === undefined ? [feed] : [feed, `federation:${tenantId}:agent:${agentId}`];
    for (const topic of topics) {
      const channel = new DependableChannel(
        {
          topic,
          config: { private: true, broadcast: { replication_ready: true } },
          bind: (built) => void built.on("broadcast", { event: "memory" }, onHint),
          onJoined: onHint,
          onReplicating: onHint,
          onState: (state) =>
            log("debug", "a channel of hints changed its state", { topic, state: state.name }),
        },
        { host: connection, clock, random, log, joinTimeoutMs: requestTimeoutMs },
      );
      scope.defer(() => channel.close());
      channel.open();
    }
  });
  return () => scope.close();
}
