import fc from "fast-check";
import { expect, test } from "vitest";
import { codecV1, codecV2, type Codec } from "./codec/codec.ts";
import type { WireFrame } from "./codec/wire-frame.ts";
import { Rooms, type Member, type Room } from "./rooms.ts";

type Metas = Record<string, { metas: { phx_ref: string }[] }>;

const TOPIC = "realtime:t";
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Somebody at the wire who takes every diff at its word: nobody may come twice or leave unknown. */
class Listener implements Member {
  readonly codec: Codec;
  readonly receivesBroadcasts = true;
  readonly receivesPresence: boolean;
  readonly frames: WireFrame[] = [];
  /** Who is there, by ref, as this member was told. */
  readonly known = new Set<string>();
  room: Room | undefined;

  constructor(codec: Codec, receivesPresence = true) {
    this.codec = codec;
    this.receivesPresence = receivesPresence;
  }

  deliver(frame: WireFrame): void {
    this.frames.push(frame);
    if (frame[0] !== 0x81) return;
    const message: unknown = JSON.parse(bodyOf(frame));
    const payload: unknown = Array.isArray(message) ? message[4] : (message as { payload: unknown }).payload;
    const { joins, leaves } = payload as { joins: Metas; leaves: Metas }; // text frames of these tests are diffs
    for (const ref of refsIn(joins)) {
      if (this.known.has(ref)) throw new Error(`${ref} came twice`);
      this.known.add(ref);
    }
    for (const ref of refsIn(leaves)) if (!this.known.delete(ref)) throw new Error(`${ref} left unknown`);
  }
}

test("however members come, track and go within turns, each hears of each presence once", async () => {
  const member = fc.nat(4);
  const step = fc.oneof(
    fc.record({ do: fc.constantFrom("come", "greet", "untrack", "go"), member }),
    fc.record({ do: fc.constant("track"), member, n: fc.nat(3) }),
    fc.constant({ do: "turn", member: 0 }),
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const rooms = new Rooms();
      const inside = new Map<number, Listener>();
      let refs = 0;
      for (const { do: what, member: who, ...rest } of steps) {
        if (what === "turn") await turn();
        const listener = inside.get(who);
        if (what === "come" && listener === undefined) {
          const comer = new Listener(who % 2 === 0 ? codecV1 : codecV2);
          comer.room = rooms.enter(TOPIC, false, comer);
          for (const ref of refsIn(JSON.parse(comer.room.greet(comer)) as Metas)) comer.known.add(ref);
          inside.set(who, comer);
        } else if (listener?.room !== undefined) {
          const { room } = listener;
          const payload = { n: "n" in rest ? rest.n : 0 };
          if (what === "track") room.track(listener, { key: `k${who % 3}`, ref: `r${refs++}`, payload });
          if (what === "untrack") room.untrack(listener);
          if (what === "go") {
            rooms.leave(room, false, listener);
            inside.delete(who);
          }
        }
      }
      await turn();
      const latecomer = new Listener(codecV2);
      const state = new Set(
        refsIn(JSON.parse(rooms.enter(TOPIC, false, latecomer).greet(latecomer)) as Metas),
      );
      for (const listener of inside.values()) expect(listener.known).toEqual(state);
    }),
    { numRuns: 300 },
  );
});

test("what changes in one turn is one diff, the same bytes to all on one protocol", async () => {
  const rooms = new Rooms();
  const listeners = [codecV1, codecV2, codecV1, codecV2].map((codec) => new Listener(codec));
  const deaf = new Listener(codecV2, false);
  for (const listener of [...listeners, deaf]) listener.room = rooms.enter(TOPIC, true, listener);
  for (const [i, listener] of listeners.entries())
    listener.room?.track(listener, { key: `k${i}`, ref: `r${i}`, payload: {} });
  expect(listeners.flatMap(({ frames }) => frames)).toEqual([]);
  await turn();
  const [a, b, c, d] = listeners.map(({ frames }) => frames);
  expect([a?.length, b?.length, deaf.frames.length]).toEqual([1, 1, 0]);
  expect(c?.[0]).toBe(a?.[0]);
  expect(d?.[0]).toBe(b?.[0]);
  rooms.find(TOPIC, true)?.broadcast({ form: "bytes", event: "e", payload: Buffer.of(1), metaJson: "" });
  expect(d?.[1]).toBe(b?.[1]);
  expect([a?.length, b?.length]).toEqual([1, 2]); // bytes cannot be said on 1.0.0
});

test("a room without members is forgotten", () => {
  const rooms = new Rooms();
  const only = new Listener(codecV2);
  const room = rooms.enter(TOPIC, false, only);
  expect([rooms.find(TOPIC, false), rooms.find(TOPIC, true)]).toEqual([room, undefined]);
  rooms.leave(room, false, only);
  expect(rooms.find(TOPIC, false)).toBeUndefined();
});

function refsIn(metas: Metas): string[] {
  return Object.values(metas).flatMap((entry) => entry.metas.map(({ phx_ref: ref }) => ref));
}

function bodyOf(frame: WireFrame): string {
  const short = (frame[1] ?? 0) & 0x7f;
  return frame.toString("utf8", short < 126 ? 2 : 4);
}
