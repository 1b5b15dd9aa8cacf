import { expect, test } from "vitest";
import { missingFrom } from "./check-team.ts";
import { parseTeamEvent, type TeamEvent } from "./team-event.ts";
import { openTimeline, wantsColour } from "./timeline.ts";

const ann: TeamEvent = { kind: "joined", agent: "ann", text: "joins the team" };

test("a plain line has time, agent and text, and no colour", () => {
  const timeline = openTimeline({ colour: false, startedAtMs: 1000 });
  expect(timeline.add(ann, 1420)).toEqual(["   0.42 s  + ann             joins the team"]);
});

test("a coloured line says the same under its colours, another agent has another colour", () => {
  const timeline = openTimeline({ colour: true, startedAtMs: 0 });
  const [first = ""] = timeline.add(ann, 420);
  const [second = ""] = timeline.add({ ...ann, agent: "bob" }, 420);
  // oxlint-disable-next-line no-control-regex -- the escape sequences are what is looked for
  expect(first.replaceAll(/\u001b\[\d+m/g, "")).toBe("   0.42 s  + ann             joins the team");
  expect(second.replace("bob", "ann")).not.toBe(first);
});

test("memories in a row are one line, printed before what their agent does next", () => {
  const timeline = openTimeline({ colour: false, startedAtMs: 0 });
  const stored = (subject: string): TeamEvent => ({
    kind: "stored",
    agent: "ann",
    text: `stores ${subject}`,
    subject,
  });
  expect(timeline.add(stored("a"), 100)).toEqual([]);
  expect(timeline.add(stored("b"), 200)).toEqual([]);
  expect(timeline.add({ ...ann, agent: "bob" }, 250)).toHaveLength(1);
  expect(timeline.add({ kind: "finished", agent: "ann", text: "is done" }, 300)).toEqual([
    "   0.30 s  # ann             stores 2 memories, first a",
    "   0.30 s  ✓ ann             is done",
  ]);
  timeline.add(stored("c"), 400);
  expect(timeline.flush()).toEqual(["   0.40 s  # ann             stores c"]);
  expect(timeline.flush()).toEqual([]);
});

test("colour is for terminals whose owner did not refuse it", () => {
  expect(wantsColour({ isTTY: true }, {})).toBe(true);
  expect(wantsColour({ isTTY: true }, { NO_COLOR: "1" })).toBe(false);
  expect(wantsColour({ isTTY: true }, { NO_COLOR: "" })).toBe(true);
  expect(wantsColour({}, {})).toBe(false);
});

test("what another process sends is an event or nothing", () => {
  expect(parseTeamEvent({ ...ann, more: 1 })).toEqual(ann);
  expect(parseTeamEvent({ ...ann, peer: "bob", subject: "s" })).toEqual({
    ...ann,
    peer: "bob",
    subject: "s",
  });
  for (const value of [null, "x", {}, { ...ann, kind: "danced" }, { ...ann, text: 1 }])
    expect(parseTeamEvent(value)).toBeUndefined();
});

const whole: readonly TeamEvent[] = [
  { kind: "joined", agent: "ann", text: "" },
  { kind: "joined", agent: "bob", text: "" },
  { kind: "met", agent: "ann", peer: "bob", text: "" },
  { kind: "met", agent: "bob", peer: "ann", text: "" },
  { kind: "said", agent: "ann", text: "" },
  { kind: "said", agent: "bob", text: "" },
  { kind: "heard", agent: "ann", peer: "bob", text: "" },
  { kind: "heard", agent: "bob", peer: "ann", text: "" },
  { kind: "assigned", agent: "ann", peer: "bob", subject: "t", text: "" },
  { kind: "stored", agent: "bob", subject: "m", text: "" },
  { kind: "learned", agent: "ann", peer: "bob", subject: "m", text: "" },
  { kind: "finished", agent: "bob", subject: "t", text: "" },
  { kind: "confirmed", agent: "ann", peer: "bob", subject: "t", text: "" },
  { kind: "wrote", agent: "bob", subject: "report.md", text: "" },
];

test("a team that did everything misses nothing, and whatever it leaves out is missed", () => {
  expect(missingFrom(whole, ["ann", "bob"])).toEqual([]);
  for (const [index, left] of whole.entries()) {
    const found = missingFrom(whole.toSpliced(index, 1), ["ann", "bob"]);
    expect(found, `without ${left.kind} of ${left.agent}`).not.toEqual([]);
  }
  expect(missingFrom([...whole, { kind: "failed", agent: "ann", text: "lost" }], ["ann", "bob"])).toEqual([
    "ann: lost",
  ]);
});
