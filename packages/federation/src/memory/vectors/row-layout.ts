/** Where the kernel finds things in its memory; kernel.wat has the same numbers and says what they are. */
export const queryAt = 0;
export const scoresAt = 8_192;
export const slotsAt = 24_576;
export const listAt = 40_960;
export const rowsAt = 131_072;

export const largestHeap = 4_096;
export const longestList = 16_384;
export const mostDimensions = 4_096;
export const pageBytes = 65_536;

/** What a row takes. The values are padded to whole vectors of 16; in the last twelve bytes are two lengths and the scale. */
export interface RowLayout {
  readonly dimensions: number;
  /** The values with their padding, a multiple of 16. */
  readonly valueBytes: number;
  /** Where the second and the third part of the values begin; the end of few values, which are compared in one part. */
  readonly firstBytes: number;
  readonly halfBytes: number;
  readonly strideBytes: number;
}

export function rowLayout(dimensions: number): RowLayout {
  const valueBytes = Math.ceil(dimensions / 16) * 16;
  const isInParts = valueBytes >= 64;
  return {
    dimensions,
    valueBytes,
    firstBytes: isInParts ? Math.floor(valueBytes / 64) * 16 : valueBytes,
    halfBytes: isInParts ? Math.floor(valueBytes / 32) * 16 : valueBytes,
    strideBytes: Math.ceil((dimensions + 12) / 16) * 16,
  };
}
