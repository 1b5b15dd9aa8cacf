import { expect, test } from "vitest";
import { isFederationError } from "../runtime/errors.ts";
import { resolveVectorBackend } from "./vector-backend.ts";

const resolve = (option: string | undefined, setting: string | undefined, inBrowser = false): string => {
  try {
    return resolveVectorBackend({ option, setting }, inBrowser);
  } catch (error) {
    return isFederationError(error) ? error.code : "not ours";
  }
};

test("without a setting memories are in the database; the option comes before the environment", () => {
  expect(resolve(undefined, undefined)).toBe("pgvector");
  expect(resolve("pgvector", "hybrid")).toBe("pgvector");
  expect(resolve(undefined, "hybrid")).toBe("hybrid");
  expect(resolve("agentdb", "pgvector")).toBe("agentdb");
});

test("in a browser the backends with a store on the disk are refused with what to do instead, others as unknown", () => {
  for (const asked of ["hybrid", "agentdb"]) {
    expect(resolve(asked, undefined, true)).toBe("unsupported");
    expect(resolve(undefined, asked, true)).toBe("unsupported");
    expect(() => resolveVectorBackend({ option: asked, setting: undefined }, true)).toThrow(
      /set it to pgvector/,
    );
  }
  expect(resolve("pgvector", undefined, true)).toBe("pgvector");
  expect(resolve("faiss", undefined)).toBe("invalid_argument");
});
