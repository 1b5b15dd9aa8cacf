import type { RealtimeChannel } from "@supabase/supabase-js";
import type { ChannelPlan } from "../connection/dependable-channel.ts";
import type { Inbox } from "../messaging/inbox.ts";
import type { MemoryFeed } from "../messaging/memory-feed.ts";
import { broadcastEvent, parseBroadcastFrame, type CoordinationMessage } from "../messaging/message.ts";
import { SeenIds } from "../messaging/seen-ids.ts";
import type { Presence } from "../presence/presence.ts";

/** What a channel listens to, and what it does when it is joined and when the database announces on it. */
export type ChannelBehaviour = Pick<ChannelPlan, "bind" | "onJoined" | "onReplicating">;

/** Who hears what the three channels carry. */
export interface ChannelHearers {
  readonly agentId: string;
  readonly presence: Presence;
  readonly inbox: Inbox;
  /** Undefined where memory events are switched off. */
  readonly memories: MemoryFeed | undefined;
  /** A broadcast of the room, new and not one's own. */
  readonly heardInRoom: (message: CoordinationMessage) => void;
}

/** The room: presence, and what members broadcast over the socket. */
export function roomPlan({ agentId, presence, heardInRoom }: ChannelHearers): ChannelBehaviour {
  const seen = new SeenIds();
  return {
    bind: (channel) => {
      presence.bind(channel);
      onBroadcast(channel, broadcastEvent, (payload) => {
        for (const message of parseBroadcastFrame(payload)) {
          // Nobody gets its own broadcasts back, nor what another process says in its name.
          if (message.from_agent !== agentId && seen.add(message.id)) heardInRoom(message);
        }
      });
    },
    onJoined: (channel) => presence.joined(channel),
  };
}

/** The feed: what the database tells all members. */
export function feedPlan({ presence, inbox, memories }: ChannelHearers): ChannelBehaviour {
  let isFirst = true;
  return {
    bind: (channel) => {
      onBroadcast(channel, "message", (payload) => inbox.heardBroadcast(payload));
      onBroadcast(channel, "sessions", (payload) => presence.heardSessions(payload));
      if (memories !== undefined) onBroadcast(channel, "memory", (payload) => memories.heard(payload));
    },
    onJoined: () => {
      if (!isFirst) {
        inbox.pullFeed();
        presence.feedIsBack();
      }
      isFirst = false;
      memories?.pull();
    },
    onReplicating: () => {
      inbox.pullFeed();
      memories?.pull();
    },
  };
}

/** The inbox: what the database tells this agent alone. */
export function inboxPlan({ inbox, memories }: ChannelHearers): ChannelBehaviour {
  const readMissed = (): void => {
    inbox.pull();
    memories?.pull();
  };
  return {
    bind: (channel) => {
      onBroadcast(channel, "message", (payload) => inbox.heardDirect(payload));
      if (memories !== undefined) onBroadcast(channel, "memory", (payload) => memories.heard(payload));
    },
    onJoined: readMissed,
    onReplicating: readMissed,
  };
}

/** The payload of each broadcast with this name; text and binary frames look the same here. */
function onBroadcast(channel: RealtimeChannel, event: string, heard: (payload: unknown) => void): void {
  channel.on("broadcast", { event }, (message: { readonly payload?: unknown }) => heard(message.payload));
}
