// Builds one segment after the other in the folder named until it is killed; a line on stdout for each that is on the disk.
import { SegmentedVectorIndex } from "../segments/segmented-vector-index.node.ts";
import { seededClusters } from "./vectors.ts";

const [folder = "", ...numbers] = process.argv.slice(2);
const [dimensions = 0, rows = 0] = numbers.map(Number);
const index = await SegmentedVectorIndex.open({ folder, dimensions, threshold: rows });
// Bounded, should nobody kill it.
for (let round = 0; round < 100; round++) {
  const draw = seededClusters(dimensions, { seed: round, clusters: 40 });
  for (let slot = 0; slot < rows; slot++) index.set(slot, draw());
  await index.buildIfDue();
  process.stdout.write("built\n");
}
