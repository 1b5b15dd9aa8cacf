import type { RealtimeChannel } from "@supabase/supabase-js";
import type { ChannelPlan } from "../connection/dependable-channel.ts";
import type { Correspondence } from "../messaging/correspondence.ts";
import type { Inbox } from "../messaging/inbox.ts";
import type { InboxTurn } from "../messaging/inbox-turn.ts";
import type { MemoryFeed } from "../messaging/memory-feed.ts";
import { broadcastEvent, parseBroadcastFrame, type CoordinationMessage } from "../messaging/message.ts";
import type { LiveTasks } from "./live-tasks.ts";
import { SeenIds } from "../messaging/seen-ids.ts";
import type { Presence } from "../presence/presence.ts";
import { isRecord, numberField } from "../runtime/json.ts";

/** What a channel listens to, and what it does when it is joined and when the database announces on it. */
export type ChannelBehaviour = Pick<ChannelPlan, "bind" | "onJoined" | "onReplicating">;

/** Who hears what the three channels carry. */
export interface ChannelHearers {
  readonly agentId: string;
  readonly sessionId: string;
  readonly presence: Presence;
  readonly inbox: Inbox;
  readonly correspondence: Correspondence;
  readonly turn: InboxTurn;
  /** Undefined where memory events are switched off. */
  readonly memories: MemoryFeed | undefined;
  readonly tasks: LiveTasks;
  /** The database announced something, whatever it is. */
  readonly announced: () => void;
  /** A broadcast of the room, new and not one's own. */
  readonly heardInRoom: (message: CoordinationMessage) => void;
}

/** The room: presence, and what members broadcast over the socket. */
export function roomPlan({ agentId, presence, heardInRoom }: ChannelHearers): ChannelBehaviour {
  const seen = new SeenIds();
  return {
    bind: (channel, isJoined) => {
      const onBroadcast = broadcastsOf(channel, isJoined);
      presence.bind(channel);
      onBroadcast(broadcastEvent, (payload) => {
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
export function feedPlan({ presence, inbox, memories, tasks, announced }: ChannelHearers): ChannelBehaviour {
  let isFirst = true;
  return {
    bind: (channel, isJoined) => {
      const onBroadcast = broadcastsOf(channel, isJoined);
      onBroadcast("*", announced);
      onBroadcast("message", (payload) => inbox.heardBroadcast(payload));
      onBroadcast("place_asked", (payload) =>
        inbox.placeAsked((isRecord(payload) ? numberField(payload, "within_ms") : undefined) ?? 0),
      );
      onBroadcast("sessions", (payload) => presence.heardSessions(payload));
      onBroadcast("tasks", (payload) => tasks.heardTasks(payload));
      onBroadcast("task_ready", (payload) => tasks.heardReady(payload));
      onBroadcast("agent_gone", (payload) => tasks.heardGone(payload));
      onBroadcast("lock", (payload) => tasks.locks.heard(payload));
      if (memories !== undefined) onBroadcast("memory", (payload) => memories.heard(payload));
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
      tasks.missed();
      memories?.pull();
    },
  };
}

/** The inbox: what the database tells this agent alone. */
export function inboxPlan({
  sessionId,
  inbox,
  correspondence,
  turn,
  memories,
  tasks,
  announced,
}: ChannelHearers): ChannelBehaviour {
  return {
    bind: (channel, isJoined) => {
      const onBroadcast = broadcastsOf(channel, isJoined);
      onBroadcast("*", announced);
      onBroadcast("message", (payload) => inbox.heardDirect(payload));
      onBroadcast("receipt", (payload) => correspondence.heardReceipt(payload));
      onBroadcast("inbox_asked", (payload) => {
        if (isRecord(payload) && payload["session_id"] === sessionId) turn.doubt();
      });
      onBroadcast("task_ready", (payload) => tasks.heardReady(payload));
      if (memories !== undefined) onBroadcast("memory", (payload) => memories.heard(payload));
    },
    // While the channel was away another process may have taken over; whoever has the turn reads what was missed.
    onJoined: () => {
      turn.doubt();
      memories?.pull();
      tasks.missed();
    },
    onReplicating: () => {
      inbox.pull();
      memories?.pull();
      tasks.missed();
    },
  };
}

type OnBroadcast = (event: string, heard: (payload: unknown) => void) => void;

/** The payload of each broadcast with this name, while the channel is joined; text and binary frames look the same here. */
function broadcastsOf(channel: RealtimeChannel, isJoined: () => boolean): OnBroadcast {
  return (event, heard) =>
    channel.on("broadcast", { event }, (message: { readonly payload?: unknown }) => {
      if (isJoined()) heard(message.payload);
    });
}
