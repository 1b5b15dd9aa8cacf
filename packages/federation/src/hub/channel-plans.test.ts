import type { RealtimeChannel } from "@supabase/supabase-js";
import { expect, test } from "vitest";
import { broadcast, openInbox, row, turns } from "../messaging/testing/open-inbox.ts";
import { feedPlan, inboxPlan, type ChannelHearers } from "./channel-plans.ts";

test.each([
  ["inbox", inboxPlan, row],
  ["feed", feedPlan, broadcast],
] as const)(
  "what the %s carries while its channel is not joined reaches nobody: it is read",
  async (_name, plan, made) => {
    const { inbox, handled } = openInbox();
    const heard = new Map<string, (message: { payload: unknown }) => void>();
    // Of a channel and of those who hear it only what a message needs.
    const channel = {
      on: (_type: string, { event }: { event: string }, callback: (message: { payload: unknown }) => void) =>
        heard.set(event, callback),
    } as unknown as RealtimeChannel;
    let isJoined = false;
    plan({ inbox } as unknown as ChannelHearers).bind(channel, () => isJoined);
    const say = (id: string): void => heard.get("message")?.({ payload: { message: made(id) } });
    say("1");
    isJoined = true;
    say("2");
    isJoined = false;
    say("3");
    await turns();
    expect(handled).toEqual(["2"]);
  },
);
