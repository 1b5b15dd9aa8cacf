import type { FederationError } from "../runtime/errors.ts";

/** Why a channel object came to its end, which decides how long to wait before the next one. */
export type EndKind =
  | "transient" // the network, the server, a time-out
  | "limited" // over a rate: come back later
  | "expired" // the token ran out: come back with a fresh one
  | "refused"; // no right to join with this token

/*  idle ──open──▶ joining ──joined──▶ online ──dropped──▶ joining      (the socket went; supabase-js joins again by itself)
 *                 joining | online ──ended──▶ waiting ──retry──▶ joining   (the channel object is dead; a new one is built)
 *                 joining | online ──ended, refused too often──▶ refused ──retry──▶ joining
 *                 any ──close──▶ closed (final) */
export type ChannelState =
  | { readonly name: "idle" }
  | {
      readonly name: "joining";
      readonly attempt: number;
      readonly refusals: number;
      readonly cause: FederationError | undefined;
    }
  | { readonly name: "online" }
  | {
      readonly name: "waiting";
      readonly attempt: number;
      readonly refusals: number;
      readonly kind: EndKind;
      readonly cause: FederationError;
    }
  | {
      readonly name: "refused";
      readonly attempt: number;
      readonly refusals: number;
      readonly cause: FederationError;
    }
  | { readonly name: "closed" };

export type ChannelEvent =
  | { readonly type: "open" }
  | { readonly type: "joined" }
  | { readonly type: "dropped"; readonly cause: FederationError }
  | { readonly type: "ended"; readonly kind: EndKind; readonly cause: FederationError }
  | { readonly type: "retry" }
  | { readonly type: "close" };

/** After this many refusals in a row nothing is tried until the token changes. */
export const maxRefusals = 3;

/** Pure. An event that makes no sense in `state` returns `state` itself. */
export function nextChannelState(state: ChannelState, event: ChannelEvent): ChannelState {
  if (state.name === "closed") return state;
  switch (event.type) {
    case "open":
      return state.name === "idle" ? { name: "joining", attempt: 0, refusals: 0, cause: undefined } : state;
    case "joined":
      return state.name === "joining" ? { name: "online" } : state;
    case "dropped": {
      const { cause } = event;
      if (state.name === "online") return { name: "joining", attempt: 0, refusals: 0, cause };
      return state.name === "joining" ? { ...state, cause } : state;
    }
    case "ended":
      return afterEnd(state, event.kind, event.cause);
    case "retry": {
      if (state.name !== "waiting" && state.name !== "refused") return state;
      return { name: "joining", attempt: state.attempt, refusals: state.refusals, cause: state.cause };
    }
    case "close":
      return { name: "closed" };
  }
}

function afterEnd(state: ChannelState, kind: EndKind, cause: FederationError): ChannelState {
  if (state.name !== "joining" && state.name !== "online") return state;
  const attempt = (state.name === "joining" ? state.attempt : 0) + 1;
  const refusals = kind === "refused" ? (state.name === "joining" ? state.refusals : 0) + 1 : 0;
  if (refusals >= maxRefusals) return { name: "refused", attempt, refusals, cause };
  return { name: "waiting", attempt, refusals, kind, cause };
}
