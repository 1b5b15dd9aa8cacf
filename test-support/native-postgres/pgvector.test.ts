import { expect, test } from "vitest";
import { fromLines, fromParagraphs } from "./pgvector.ts";

test("the source line follows the machine's own line, keys and address included", () => {
  const text = `# comment
deb [arch=amd64] https://other.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
`;
  expect(fromLines(text, "bookworm")).toBe("deb-src [arch=amd64] https://other.example/debian trixie main");
});

test("a line without options, with tabs and several components", () => {
  const text = "deb\thttp://mirror.example/debian\tbookworm  contrib main\n";
  expect(fromLines(text, "bookworm")).toBe("deb-src http://mirror.example/debian trixie main");
});

test("updates, sources, other releases and archives without main are passed over", () => {
  const text = `deb-src http://mirror.example/debian bookworm main
deb http://mirror.example/debian bookworm-updates main
deb http://packages.example/node nodistro main
deb http://mirror.example/debian bookworm contrib
`;
  expect(fromLines(text, "bookworm")).toBeUndefined();
});

test("deb822 paragraphs: the one of the release itself, with its key", () => {
  const text = `Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main
Signed-By: /usr/share/keyrings/security.gpg

Types: deb
# a comment
URIs: http://mirror.example/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg
`;
  expect(fromParagraphs(text, "bookworm")).toBe(
    "deb-src [signed-by=/usr/share/keyrings/archive.gpg] http://mirror.example/debian trixie main",
  );
  expect(fromParagraphs(text, "jammy")).toBeUndefined();
});

test("a paragraph without a key of its own relies on the machine's keys", () => {
  const text = "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n";
  expect(fromParagraphs(text, "bookworm")).toBe("deb-src http://mirror.example/debian trixie main");
});
