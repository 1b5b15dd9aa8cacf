import { existsSync } from "node:fs";
import { join } from "node:path";
import { canInstallPackages, installPackages, updatePackageLists } from "../debian/install-packages.ts";
import type { Progress } from "../debian/run-quietly.ts";

/**
 * The program of a Chromium or Chrome: what CHROMIUM_PATH names, an installed one, else Debian's package, installed
 * where we may. Rejects with a message that says what to do by hand.
 */
export async function ensureChromium(progress: Progress): Promise<string> {
  const named = process.env["CHROMIUM_PATH"];
  if (named !== undefined && named !== "") {
    if (existsSync(named)) return named;
    throw new Error(`browser: CHROMIUM_PATH names ${named}, which is not there`);
  }
  const installed = findChromium();
  if (installed !== undefined) return installed;
  if (!canInstallPackages()) {
    throw new Error(
      "browser: found no Chromium or Chrome. Install one, or name its program in CHROMIUM_PATH",
    );
  }
  progress("installing Debian's package chromium");
  await updatePackageLists();
  await installPackages(["chromium"]);
  const found = findChromium();
  if (found === undefined)
    throw new Error("browser: the package chromium was installed and brought no /usr/bin/chromium");
  return found;
}

function findChromium(): string | undefined {
  return programs().find((path) => existsSync(path));
}

function programs(): string[] {
  if (process.platform === "darwin") {
    return ["Google Chrome", "Chromium", "Microsoft Edge"].map(
      (name) => `/Applications/${name}.app/Contents/MacOS/${name}`,
    );
  }
  if (process.platform === "win32") {
    const folders = ["ProgramFiles", "ProgramFiles(x86)", "LocalAppData"].map(
      (name) => process.env[name] ?? "",
    );
    return folders.flatMap((folder) => [
      join(folder, "Google", "Chrome", "Application", "chrome.exe"),
      join(folder, "Microsoft", "Edge", "Application", "msedge.exe"),
    ]);
  }
  const folders = (process.env["PATH"] ?? "").split(":");
  return ["chromium", "google-chrome", "google-chrome-stable", "chromium-browser"].flatMap((name) =>
    folders.map((folder) => join(folder, name)),
  );
}
