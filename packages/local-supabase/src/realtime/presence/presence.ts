import { isDeepStrictEqual } from "node:util";

/**
 * Who is in a room, as data. One presence per owner (a channel); several owners may share a key, and then the key has
 * several metas, oldest first. States are never modified.
 */
export type PresenceState = ReadonlyMap<object, Presence>;

export interface Presence {
  readonly key: string;
  /** Unique per track; receivers match joins and leaves by it. */
  readonly ref: string;
  readonly previousRef: string | undefined;
  readonly payload: Readonly<Record<string, unknown>>;
}

export interface PresenceChange {
  readonly state: PresenceState;
  readonly joined: Presence | undefined;
  readonly left: Presence | undefined;
}

export const noPresence: PresenceState = new Map();

/** Undefined when `owner` already says exactly this. An update is the old meta leaving and the new one joining. */
export function track(
  state: PresenceState,
  owner: object,
  said: { readonly key: string; readonly ref: string; readonly payload: Readonly<Record<string, unknown>> },
): PresenceChange | undefined {
  const left = state.get(owner);
  const payload = withoutRefs(said.payload);
  if (left !== undefined && isDeepStrictEqual(left.payload, payload)) return undefined;
  const joined = { key: said.key, ref: said.ref, previousRef: left?.ref, payload };
  return { state: new Map(state).set(owner, joined), joined, left };
}

/** Undefined when `owner` is not present. */
export function untrack(state: PresenceState, owner: object): PresenceChange | undefined {
  const left = state.get(owner);
  if (left === undefined) return undefined;
  const next = new Map(state);
  next.delete(owner);
  return { state: next, joined: undefined, left };
}

/** The payload of `presence_state`. */
export function stateJson(state: PresenceState): string {
  const metas = new Map<string, string[]>();
  for (const presence of state.values()) {
    const ofKey = metas.get(presence.key);
    if (ofKey === undefined) metas.set(presence.key, [metaJson(presence)]);
    else ofKey.push(metaJson(presence));
  }
  const entries = Array.from(
    metas,
    ([key, ofKey]) => `${JSON.stringify(key)}:{"metas":[${ofKey.join(",")}]}`,
  );
  return `{${entries.join(",")}}`;
}

/** The payload of `presence_diff`. */
export function diffJson({ joined, left }: PresenceChange): string {
  return `{"joins":${entryJson(joined)},"leaves":${entryJson(left)}}`;
}

/**
 * Keys that break receivers: `ids` makes the official client take the state for a row change, and names that every
 * JavaScript object inherits are found where there is nothing.
 */
export function isSafePresenceKey(key: string): boolean {
  return key !== "ids" && !(key in Object.prototype);
}

function entryJson(presence: Presence | undefined): string {
  return presence === undefined
    ? "{}"
    : `{${JSON.stringify(presence.key)}:{"metas":[${metaJson(presence)}]}}`;
}

function metaJson({ ref, previousRef, payload }: Presence): string {
  const previous = previousRef === undefined ? "" : `,"phx_ref_prev":${JSON.stringify(previousRef)}`;
  const rest = JSON.stringify(payload).slice(1, -1);
  return `{"phx_ref":${JSON.stringify(ref)}${previous}${rest === "" ? "" : `,${rest}`}}`;
}

/** The refs are the server's to give: a client that sends its own would pass for somebody else's presence. */
function withoutRefs(payload: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { phx_ref: _ref, phx_ref_prev: _previous, ...rest } = payload;
  return rest;
}
