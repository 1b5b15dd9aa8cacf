import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { canInstallPackages, installPackages, updatePackageLists } from "../debian/install-packages.ts";
import { runQuietly, type Progress } from "../debian/run-quietly.ts";
import { findPostgres, oldestMajor, type PostgresInstallation } from "./find.ts";
import { buildVectorExtension } from "./pgvector.ts";

const byHand =
  `Install PostgreSQL ${oldestMajor} or newer with pgvector yourself (on macOS: brew install postgresql@17 pgvector), ` +
  "or run this as root on Debian 12 or newer.";

/**
 * A server with pgvector, installed first where it is missing: Debian's packages, and pgvector from Debian's source
 * where the release has no package of it. Rejects with a message that says what to do by hand.
 */
export async function ensurePostgres(progress: Progress): Promise<PostgresInstallation> {
  const [best] = await findPostgres();
  if (best?.hasVector === true) return best;
  const found = best === undefined ? "no PostgreSQL server" : `${best.version} without pgvector`;
  if (!canInstallPackages()) {
    throw new Error(
      `native Postgres: found ${found}, and it installs itself only as root on Debian. ${byHand}`,
    );
  }
  progress(`found ${found}; installing what is missing`);
  await installWithApt(best?.major, progress);
  const [installed] = await findPostgres();
  if (installed?.hasVector !== true) {
    throw new Error(`native Postgres: still no server with pgvector after the installation. ${byHand}`);
  }
  return installed;
}

async function installWithApt(installedMajor: number | undefined, progress: Progress): Promise<void> {
  progress("apt-get update");
  await updatePackageLists();
  const packaged = (await runQuietly("apt-cache", ["search", "--names-only", "^postgresql-[0-9]+-pgvector$"]))
    .split("\n")
    .map((line) => Number(/^postgresql-(\d+)-/.exec(line)?.[1] ?? 0))
    .filter((major) => major >= oldestMajor)
    .sort((a, b) => b - a);
  const major = installedMajor ?? packaged[0] ?? (await distributionMajor());
  if (packaged.includes(major)) {
    await installServer([`postgresql-${major}`, `postgresql-${major}-pgvector`], progress);
    return;
  }
  await installServer([`postgresql-${major}`, `postgresql-server-dev-${major}`, "build-essential"], progress);
  await buildVectorExtension(`/usr/lib/postgresql/${major}/bin/pg_config`, progress);
}

/** What the meta package `postgresql` stands for in this release. */
async function distributionMajor(): Promise<number> {
  const depends = await runQuietly("apt-cache", ["depends", "postgresql"]);
  const major = Number(/postgresql-(\d+)/.exec(depends)?.[1] ?? 0);
  if (major >= oldestMajor) return major;
  throw new Error(`native Postgres: this release packages version ${major}. ${byHand}`);
}

/** Without the cluster that Debian's package would otherwise create and start beside ours. */
async function installServer(packages: readonly string[], progress: Progress): Promise<void> {
  const settings = "/etc/postgresql-common/createcluster.conf";
  progress(`apt-get install ${packages.join(" ")}`);
  const isNew = !existsSync(settings);
  await installPackages(["postgresql-common"]);
  const before = readFileSync(settings, "utf8");
  if (isNew) writeFileSync(settings, `create_main_cluster = false\n`);
  try {
    await installPackages(packages);
  } finally {
    if (isNew) writeFileSync(settings, before);
  }
}
