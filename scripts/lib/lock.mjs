/**
 * @typedef {{ version?: string, dev?: boolean, optional?: boolean, resolved?: string, engines?: object, optionalDependencies?: Record<string, string> }} LockedPackage
 * @typedef {{ packages: Record<string, LockedPackage> }} Lock
 */

/** Optional dependencies that the lock file names but has no entry for: `npm ci` refuses such a file. @param {Lock} lock */
export function missingOptional(lock) {
  return Object.values(lock.packages).flatMap((from) =>
    Object.entries(from.optionalDependencies ?? {})
      .filter(([name]) => lock.packages[`node_modules/${name}`] === undefined)
      .map(([name, version]) => ({ name, version, from })),
  );
}

/**
 * What keeps `installed` (npm's own record in node_modules, written when an installation has ended) from being what
 * `lock` asks for: undefined when nothing does.
 *
 * @param {Lock} lock @param {Lock} installed
 * @returns {string | undefined}
 */
export function differenceBetween(lock, installed) {
  for (const [path, wanted] of Object.entries(lock.packages)) {
    if (!path.startsWith("node_modules/") && !path.includes("/node_modules/")) continue;
    const found = installed.packages[path];
    if (found === undefined && wanted.optional === true) continue;
    if (found === undefined || found.version !== wanted.version) {
      return `${path}: wanted ${wanted.version ?? wanted.resolved}, found ${found?.version ?? "nothing"}`;
    }
  }
  return undefined;
}
