import { FederationError } from "../../runtime/errors.ts";
import { describe } from "../../runtime/json.ts";

/** What an embedder is held to: `dimensions` undefined takes any, but the same for all. */
export interface ExpectedVectors {
  readonly model: string;
  readonly count: number;
  readonly dimensions: number | undefined;
}

/** The vectors as 32-bit numbers. Throws FederationError "protocol" where they are not what can be stored and compared. */
export function checkVectors(answer: unknown, { model, count, dimensions }: ExpectedVectors): Float32Array[] {
  const wrong = (expected: string, found: string): FederationError =>
    new FederationError("protocol", `embed with ${model}: expected ${expected}, got ${found}`);
  if (!Array.isArray(answer)) throw wrong("a list of vectors", describe(answer));
  if (answer.length !== count) throw wrong(`a vector for each of ${count} texts`, `${answer.length}`);
  let length = dimensions;
  return answer.map((given: unknown, index) => {
    const vector = toFloats(given);
    const which = `for text ${index + 1} of ${count}`;
    if (vector === undefined) throw wrong(`a vector ${which}`, describe(given));
    length ??= vector.length;
    if (vector.length !== length || length < 1 || length > 4096)
      throw wrong(
        `${length >= 1 && length <= 4096 ? length : "1 to 4096"} numbers ${which}`,
        `${vector.length}`,
      );
    const notFinite = vector.find((value) => !Number.isFinite(value));
    if (notFinite !== undefined) throw wrong(`finite numbers that fit 32 bits ${which}`, `${notFinite}`);
    if (vector.every((value) => value === 0)) throw wrong(`a vector with a direction ${which}`, "only zeros");
    return vector;
  });
}

function toFloats(given: unknown): Float32Array | undefined {
  if (given instanceof Float32Array) return given.slice(); // models use their output buffers again
  const isTyped = ArrayBuffer.isView(given) && !(given instanceof DataView);
  if (!isTyped && !Array.isArray(given)) return undefined;
  // Checked: an array or a typed array; what in it is no number becomes NaN and is refused.
  const values = Array.from(given as ArrayLike<unknown>, (value) =>
    typeof value === "number" ? value : NaN,
  );
  return Float32Array.from(values);
}
