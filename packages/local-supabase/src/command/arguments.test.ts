import { expect, test } from "vitest";
import { parseCommand } from "./arguments.ts";

test("--limits takes a plan, and off is no limit", () => {
  const limitsOf = (...words: string[]): unknown => {
    const command = parseCommand(words, undefined);
    return command.kind === "start" ? command.options : command;
  };
  expect(limitsOf("--limits", "free")).toEqual({ limits: "free" });
  expect(limitsOf("--limits", "off")).toEqual({});
  expect(limitsOf()).toEqual({});
  for (const plan of ["gold", "", "toString"]) {
    expect(limitsOf("--limits", plan)).toEqual({
      kind: "wrong",
      problem: `--limits: expected off, free, pro or team, got "${plan}"`,
    });
  }
});
