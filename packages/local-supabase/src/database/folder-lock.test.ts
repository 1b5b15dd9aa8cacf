import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { lockFolder } from "./folder-lock.ts";
import { ownIdentity } from "./process-identity.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "lock-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const inUse = expect.objectContaining({ code: "data-folder-in-use" });

test("one at a time, and the next after release", () => {
  const release = lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(inUse);
  release();
  expect(readdirSync(folder)).toEqual([]);
  lockFolder(folder)();
});

test("the refusal names who has the folder", () => {
  lockFolder(folder);
  expect(() => lockFolder(folder)).toThrow(new RegExp(`process ${process.pid} on `));
});

// Process ids end at 4,194,304 on Linux: nobody ever has this one.
const nobody = 99_999_999;

test.each([
  ["a process that is gone", { ...ownIdentity(), pid: nobody }],
  ["an earlier process with an id that was given out again", { ...ownIdentity(), birth: "another boot 1" }],
])("the lock of %s is taken over", (_name, holder) => {
  writeFileSync(join(folder, "lock"), JSON.stringify(holder));
  const release = lockFolder(folder);
  expect(JSON.parse(readFileSync(join(folder, "lock"), "utf8"))).toEqual(ownIdentity());
  release();
  expect(readdirSync(folder)).toEqual([]);
});

test.each(["", "{", "null", '{"pid":"x"}'])("a lock that says %j is nobody's", (content) => {
  writeFileSync(join(folder, "lock"), content);
  lockFolder(folder)();
});

test("a process of another host cannot be seen, so its lock holds", () => {
  const elsewhere = { ...ownIdentity(), host: `not-${hostname()}`, pid: nobody };
  writeFileSync(join(folder, "lock"), JSON.stringify(elsewhere));
  expect(() => lockFolder(folder)).toThrow(inUse);
});

test("whoever finds a takeover going on is refused, unless it was left behind", () => {
  writeFileSync(join(folder, "lock"), "");
  const mark = join(folder, "lock.takeover");
  mkdirSync(mark);
  expect(() => lockFolder(folder)).toThrow(inUse);
  utimesSync(mark, 0, 0);
  lockFolder(folder)();
  expect(readdirSync(folder)).toEqual([]);
});
