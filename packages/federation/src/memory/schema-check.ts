import type { Connection } from "../connection/connection.ts";
import { migrationRemedy } from "../connection/rest-error.ts";
import { FederationError } from "../runtime/errors.ts";

/** The schema that this version of the library speaks to. */
const wantedVersion = 1;

/** Rejects with "schema_missing" or "schema_version" where the migrations are not those of this version. */
export async function requireSchema(connection: Connection): Promise<void> {
  const found = await connection.callPlain("schema_version", {});
  if (found === wantedVersion) return;
  const isOlder = typeof found === "number" && found < wantedVersion;
  throw new FederationError(
    "schema_version",
    `the schema of this project has version ${String(found)}, version ${wantedVersion} is needed`,
    {
      remedy: isOlder
        ? migrationRemedy
        : "Update the package agent-federation: npm install agent-federation@latest",
    },
  );
}
