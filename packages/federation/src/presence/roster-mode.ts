/** Where the list of agents comes from: presence in a small room, the sessions in the database in a large one. */
export type RosterMode = "presence" | "sessions";

/** A room shrinks back only well below the threshold, so that one that hovers around it does not switch to and fro. Pure. */
export function nextRosterMode(mode: RosterMode, instances: number, threshold: number): RosterMode {
  if (instances > threshold) return "sessions";
  if (mode === "sessions" && instances > threshold * 0.8) return "sessions";
  return "presence";
}
