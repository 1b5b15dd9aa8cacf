import { isDeepStrictEqual } from "node:util";

export interface Presence {
  readonly key: string;
  readonly payload: Readonly<Record<string, unknown>>;
  /** Unique per track; receivers match joins and leaves by it. */
  readonly ref: string;
  /** Payload and refs as they go to the wire: written once, told many times. */
  readonly metaJson: string;
}

/** An update is the old presence leaving and the new one joining. */
export interface PresenceChange {
  readonly joined: Presence | undefined;
  readonly left: Presence | undefined;
}

/** What an owner says about itself; `ref` is the server's. */
export interface Said {
  readonly key: string;
  readonly ref: string;
  readonly payload: Readonly<Record<string, unknown>>;
}

/**
 * Who is in a room. One presence per owner (a channel); several owners may share a key, and then the key has several
 * metas, oldest first.
 */
export class Presences {
  readonly #byOwner = new Map<object, Presence>();
  #stateJson: string | undefined;

  /** Undefined when `owner` already says exactly this. */
  track(owner: object, { key, ref, payload: given }: Said): PresenceChange | undefined {
    const left = this.#byOwner.get(owner);
    const payload = withoutRefs(given);
    if (left !== undefined && isDeepStrictEqual(left.payload, payload)) return undefined;
    const joined = { key, ref, payload, metaJson: metaJson(ref, left?.ref, payload) };
    this.#byOwner.set(owner, joined);
    this.#stateJson = undefined;
    return { joined, left };
  }

  /** Undefined when `owner` is not present. */
  untrack(owner: object): PresenceChange | undefined {
    const left = this.#byOwner.get(owner);
    if (left === undefined) return undefined;
    this.#byOwner.delete(owner);
    this.#stateJson = undefined;
    return { joined: undefined, left };
  }

  /** The payload of `presence_state`: put together once after a change, however many come to hear it. */
  get stateJson(): string {
    this.#stateJson ??= byKeyJson(this.#byOwner.values());
    return this.#stateJson;
  }
}

/** The payload of `presence_diff` for changes in their order. Receivers apply all joins, then all leaves, by `phx_ref`. */
export function diffJson(changes: readonly PresenceChange[]): string {
  const joined = changes.flatMap((change) => change.joined ?? []);
  const left = changes.flatMap((change) => change.left ?? []);
  return `{"joins":${byKeyJson(joined)},"leaves":${byKeyJson(left)}}`;
}

/**
 * Keys that break receivers: `ids` makes the official client take the state for a row change, and names that every
 * JavaScript object inherits are found where there is nothing.
 */
export function isSafePresenceKey(key: string): boolean {
  return key !== "ids" && !(key in Object.prototype);
}

function byKeyJson(presences: Iterable<Presence>): string {
  const metas = new Map<string, string>();
  for (const { key, metaJson: meta } of presences) {
    const before = metas.get(key);
    metas.set(key, before === undefined ? meta : `${before},${meta}`);
  }
  let json = "";
  for (const [key, ofKey] of metas)
    json += `${json === "" ? "" : ","}${JSON.stringify(key)}:{"metas":[${ofKey}]}`;
  return `{${json}}`;
}

function metaJson(ref: string, previousRef: string | undefined, payload: object): string {
  const previous = previousRef === undefined ? "" : `,"phx_ref_prev":${JSON.stringify(previousRef)}`;
  const rest = JSON.stringify(payload).slice(1, -1);
  return `{"phx_ref":${JSON.stringify(ref)}${previous}${rest === "" ? "" : `,${rest}`}}`;
}

/** The refs are the server's to give: a client that sends its own would pass for somebody else's presence. */
function withoutRefs(payload: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { phx_ref: _ref, phx_ref_prev: _previous, ...rest } = payload;
  return rest;
}
