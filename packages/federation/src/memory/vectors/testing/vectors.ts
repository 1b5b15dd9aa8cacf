import fc from "fast-check";

const extremes = [
  1.401298464324817e-45, -1.401298464324817e-45, 3.4028234663852886e38, -3.4028234663852886e38,
];

/** Any vector that has a direction, with the extremes of float32 among its values. */
export function anyVector(dimensions: number): fc.Arbitrary<Float32Array> {
  const value = fc.oneof(
    { weight: 8, arbitrary: fc.float({ min: -1, max: 1, noNaN: true }) },
    { weight: 2, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
    { weight: 1, arbitrary: fc.constantFrom(0, ...extremes) },
  );
  return fc
    .array(value, { minLength: dimensions, maxLength: dimensions })
    .map((values) => Float32Array.from(values))
    .filter((vector) => vector.some((number) => number !== 0));
}

/** Seeded, so that a failure can be repeated: numbers from 0 below 1. */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Vectors like those of a model: clusters of a normal distribution each. Queries are drawn the same way. */
export function seededClusters(
  dimensions: number,
  { seed, clusters, spread = 0.35 }: { seed: number; clusters: number; spread?: number },
): () => Float32Array {
  const random = seededRandom(seed);
  const normal = (): number => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const draw = (): Float32Array => Float32Array.from({ length: dimensions }, normal);
  const centres = Array.from({ length: clusters }, draw);
  return () => {
    const centre = centres[Math.floor(random() * clusters)] ?? draw();
    return centre.map((value) => value + spread * normal());
  };
}
