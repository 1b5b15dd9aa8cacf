import { fileURLToPath } from "node:url";
import { build, type BuildOptions } from "esbuild";

/** What a page needs besides the library's source: nothing of Node, and the browser's side of packages that have two. */
const forBrowsers: BuildOptions = {
  bundle: true,
  format: "esm",
  platform: "browser",
  target: "es2022",
  conditions: ["@agent-federation/source", "browser"],
  write: false,
  logLevel: "silent",
};

/** The page's script, bundled. */
export function bundlePage(): Promise<string> {
  return bundle({ entryPoints: [fileURLToPath(new URL("page.ts", import.meta.url))] });
}

/** A script that imports the library, bundled as the page is. */
export function bundleText(contents: string): Promise<string> {
  return bundle({
    stdin: { contents, resolveDir: fileURLToPath(new URL(".", import.meta.url)), loader: "ts" },
  });
}

async function bundle(options: BuildOptions): Promise<string> {
  const { outputFiles } = await build({ ...forBrowsers, ...options, write: false });
  const [script] = outputFiles;
  if (script === undefined) throw new Error("esbuild made no file");
  return script.text;
}
