import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve, sep } from "node:path";
import fc from "fast-check";
import { expect, test } from "vitest";
import { isFederationError } from "../../runtime/errors.ts";
import { checkFormat, defaultDataDir, folderName, resolveDataDir, writeFormat } from "./folder.node.ts";
import { temporaryFolder } from "./testing/temporary-folder.node.ts";

const name = fc.string({ unit: "binary", minLength: 1, maxLength: 60 }).filter((text) => {
  return !text.includes("\u0000") && Buffer.byteLength(text) <= 255 && !/\p{Surrogate}/u.test(text);
});

test("no name of a store leads out of the data directory, and no two share a folder, not even without regard to case", () => {
  fc.assert(
    fc.property(name, name, (one, other) => {
      const folder = resolve("/data", folderName(one));
      expect(folder.startsWith(`/data${sep}store-`)).toBe(true);
      expect(folder.split(sep)).toHaveLength(3);
      expect(Buffer.byteLength(folderName(one))).toBeLessThan(200);
      expect(folderName(one).toLowerCase() === folderName(other).toLowerCase()).toBe(one === other);
    }),
  );
  for (const wrong of ["", "a\u0000", "x".repeat(256), "\ud800"])
    expect(() => folderName(wrong)).toThrow(/1 to 255 bytes/);
  expect(folderName("../Ä")).toBe("store-%2e%2e%2f%c3%84");
  expect(folderName("A")).not.toBe(folderName("a"));
});

test("the data directory is the option, else the environment's, else the user's", () => {
  expect(resolveDataDir("/one", { FEDERATION_DATA_DIR: "/two" })).toBe("/one");
  expect(resolveDataDir(undefined, { FEDERATION_DATA_DIR: "/two" })).toBe("/two");
  expect(defaultDataDir("linux", {}, "/homes/u")).toBe("/homes/u/.local/share/agent-federation");
  expect(defaultDataDir("linux", { XDG_DATA_HOME: "/data" }, "/homes/u")).toBe("/data/agent-federation");
  expect(defaultDataDir("darwin", {}, "/people/u")).toBe(
    "/people/u/Library/Application Support/agent-federation",
  );
  expect(defaultDataDir("win32", { LOCALAPPDATA: "/local" }, "/u")).toBe("/local/agent-federation");
});

test("a folder of a later version, or with an unreadable format, is left alone", () => {
  const folder = join(temporaryFolder(), "later");
  mkdirSync(folder);
  expect(checkFormat(folder)).toBe(false);
  writeFormat(folder, "s");
  expect(checkFormat(folder)).toBe(true);
  writeFileSync(join(folder, "format.json"), '{"format":2}');
  expect(() => checkFormat(folder)).toThrow(/format is 2, this version reads 1/);
  writeFileSync(join(folder, "format.json"), "{");
  expect(() => checkFormat(folder)).toThrow(expect.toSatisfy((error) => isFederationError(error, "damaged")));
});
