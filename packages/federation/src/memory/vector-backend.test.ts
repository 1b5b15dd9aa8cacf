import { expect, test } from "vitest";
import { isFederationError } from "../runtime/errors.ts";
import { resolveVectorBackend } from "./vector-backend.ts";

const codeOf = (option: string | undefined, setting: string | undefined): string => {
  try {
    return resolveVectorBackend(option, setting);
  } catch (error) {
    return isFederationError(error) ? error.code : "not ours";
  }
};

test("without a setting memories are in the database; the option comes before the environment", () => {
  expect(codeOf(undefined, undefined)).toBe("pgvector");
  expect(codeOf("pgvector", "hybrid")).toBe("pgvector");
});

test("the backends with a local store are refused with what to do instead, others as unknown", () => {
  for (const asked of ["hybrid", "agentdb"]) {
    expect(codeOf(asked, undefined)).toBe("unsupported");
    expect(codeOf(undefined, asked)).toBe("unsupported");
    expect(() => resolveVectorBackend(asked, undefined)).toThrow(/set it to pgvector/);
  }
  expect(codeOf("faiss", undefined)).toBe("invalid_argument");
});
