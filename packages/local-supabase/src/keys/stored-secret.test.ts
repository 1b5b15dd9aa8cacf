import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { storedSecret } from "./stored-secret.ts";

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "keys-"));
  file = join(folder, "keys.json");
});
afterEach(() => rmSync(folder, { recursive: true }));

test("the first call makes a secret, the next ones give it back", () => {
  const secret = storedSecret(file, undefined);
  expect(secret).toMatch(/^[0-9a-f]{64}$/);
  expect(storedSecret(file, undefined)).toBe(secret);
  expect(readdirSync(folder)).toEqual(["keys.json"]);
});

test("only this user may read the file", () => {
  storedSecret(file, undefined);
  expect(statSync(file).mode & 0o777).toBe(0o600);
});

test("a given secret replaces the kept one", () => {
  storedSecret(file, undefined);
  expect(storedSecret(file, "given")).toBe("given");
  expect(storedSecret(file, undefined)).toBe("given");
});

test.each(["", "{", "null", '{"jwtSecret":1}'])(
  "a file that says %j is reported, not replaced",
  (content) => {
    writeFileSync(file, content);
    expect(() => storedSecret(file, undefined)).toThrow(expect.objectContaining({ code: "data-folder" }));
    expect(readFileSync(file, "utf8")).toBe(content);
  },
);
