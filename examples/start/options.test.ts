import { resolve } from "node:path";
import { expect, test } from "vitest";
import { parseOptions, usage } from "./options.ts";

test("without options: in memory, on a port that is free, until Ctrl-C", () => {
  const reportFile = resolve(".agent-federation/research-team/report.md");
  expect(parseOptions([])).toEqual({
    options: { once: false, port: undefined, dataDir: undefined, reportFile },
  });
});

test("every option is taken and explained", () => {
  const args = ["--once", "--port", "54399", "--data-dir", "data", "--report=out.md"];
  expect(parseOptions(args)).toEqual({
    options: { once: true, port: 54_399, dataDir: resolve("data"), reportFile: resolve("out.md") },
  });
  expect(parseOptions(["--help", "--once"])).toEqual({ help: true });
  for (const option of ["--once", "--port", "--data-dir", "--report", "--help"])
    expect(usage).toContain(option);
});

test.each([["--port", "0"], ["--port", "65536"], ["--port", "http"], ["--port"], ["--twice"], ["extra"]])(
  "%s %s is a problem in one line",
  (...args) => {
    const asked = parseOptions(args.filter((each) => each !== undefined));
    expect(asked).toEqual({ problem: expect.stringMatching(/^[^\n]+$/) });
  },
);
