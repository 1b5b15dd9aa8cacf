/** What is in either of two ascending lists, each of distinct numbers. */
export function union(a: Uint32Array, b: Uint32Array): Uint32Array {
  const both = new Uint32Array(a.length + b.length);
  let [atA, atB, size] = [0, 0, 0];
  while (atA < a.length && atB < b.length) {
    const [fromA, fromB] = [a[atA] ?? 0, b[atB] ?? 0];
    both[size++] = Math.min(fromA, fromB);
    if (fromA <= fromB) atA += 1;
    if (fromB <= fromA) atB += 1;
  }
  both.set(a.subarray(atA), size);
  size += a.length - atA;
  both.set(b.subarray(atB), size);
  size += b.length - atB;
  return both.subarray(0, size);
}
