// Opens a store as a user who may not write there, and says what came of it.
import { isFederationError } from "../../../runtime/errors.ts";
import { openLocalStore } from "../open-local-store.node.ts";

const [dataDir = ""] = process.argv.slice(2);
process.setuid?.(65_534);
try {
  await openLocalStore({ store: "s", dataDir });
  process.stdout.write("opened\n");
} catch (error) {
  process.stdout.write(isFederationError(error) ? `${error.code}: ${error.message}\n` : String(error));
}
