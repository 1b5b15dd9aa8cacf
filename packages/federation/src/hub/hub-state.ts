import type { ChannelState } from "../connection/channel-state.ts";
import type { FederationError } from "../runtime/errors.ts";

/*  idle ──initialize──▶ connecting ──usable──▶ online ◀──▶ reconnecting
 *  any ──shutdown, or initialize failed──▶ closed (final) */
export type HubState =
  | { readonly name: "idle" }
  | { readonly name: "connecting" }
  /** All three channels are joined. */
  | { readonly name: "online" }
  /** A channel is lost and being joined again. What is stored still goes through; what goes over the socket waits. */
  | { readonly name: "reconnecting"; readonly cause: FederationError | undefined }
  | { readonly name: "closed"; readonly cause: FederationError | undefined };

/** The state of an initialized hub, from its channels. Pure. */
export function hubStateOf(channels: readonly ChannelState[]): HubState {
  const lost = channels.find((channel) => channel.name !== "online");
  if (lost === undefined) return { name: "online" };
  return { name: "reconnecting", cause: "cause" in lost ? lost.cause : undefined };
}

/** Whether going from one to the other is news. */
export function isSameState(a: HubState, b: HubState): boolean {
  return a.name === b.name && ("cause" in a ? a.cause : undefined) === ("cause" in b ? b.cause : undefined);
}
