import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { clearAbandonedFolders, hostPart, makeOwnedFolder } from "./owned-folders.ts";

let parent: string;
beforeEach(() => {
  parent = mkdtempSync(join(tmpdir(), "owned-"));
});
afterEach(() => rmSync(parent, { recursive: true }));

test("what a dead process of this host left is removed, everything else stays", () => {
  const own = basename(makeOwnedFolder(parent, "stack"));
  // Process ids end at 4,194,304 on Linux: nobody ever has this one.
  const abandoned = `stack-${hostPart()}-99999999-0123abcd`;
  const kept = [
    own,
    "stack-elsewhere-99999999-0123abcd",
    `other-${hostPart()}-99999999-0123abcd`,
    "stack",
    "stack-x",
  ];
  for (const name of [abandoned, ...kept]) mkdirSync(join(parent, name), { recursive: true });
  clearAbandonedFolders(parent, "stack");
  expect(readdirSync(parent).sort()).toEqual([...kept].sort());
});

test("a parent that is not there holds nothing to clear", () => {
  clearAbandonedFolders(join(parent, "missing"), "stack");
});
