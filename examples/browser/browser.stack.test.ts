import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createRealtimeHub, createSupabaseAdapter, mintAgentToken } from "agent-federation";
import { chromium, type BrowserContext } from "playwright-core";
import { afterAll, beforeAll, expect, test, type TestContext } from "vitest";
import { startTestStack } from "../../test-support/stack.ts";
import { migrationsFolder, settingsOf } from "../support/project.ts";
import { bundleText } from "./bundle.ts";
import { servePage, type ServedPage } from "./serve.ts";

const executablePath = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";
const isAllowedToMiss = (process.env["ALLOW_NO_BROWSER"] ?? "") !== "";
const hasBrowser = existsSync(executablePath);

// What a browser does on its own account reaches out to the network and slows the start.
const quiet = [
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

const tenantId = "browser-test";
let stack: Awaited<ReturnType<typeof startTestStack>>;
let served: ServedPage;
let browser: BrowserContext;
let folder: string;

beforeAll(async () => {
  if (!hasBrowser) return;
  stack = await startTestStack({ migrationsDir: migrationsFolder });
  served = await servePage({ environment: settingsOf(stack), tenantId, agentId: "page", port: 0 });
  folder = mkdtempSync(join(tmpdir(), "agent-federation-browser-"));
  browser = await chromium.launchPersistentContext(folder, {
    executablePath,
    headless: true,
    args: ["--no-sandbox", "--disable-gpu", ...quiet],
  });
});

afterAll(async () => {
  await browser?.close();
  if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  await served?.close();
  await stack?.close();
});

/** Without a browser the promise to browsers is untested, which is a failure unless somebody said that it may be. */
function needsBrowser({ skip }: TestContext): void {
  if (hasBrowser) return;
  if (isAllowedToMiss) skip(`no browser at ${executablePath}, and ALLOW_NO_BROWSER is set`);
  throw new Error(
    `no browser at ${executablePath}: install Chromium, name it in CHROMIUM_PATH, or set ALLOW_NO_BROWSER=1 to skip this`,
  );
}

test("a page joins a tenant with an agent's token, and receives a message and a memory", async (context) => {
  needsBrowser(context);
  const { url, anonKey, jwtSecret } = stack;
  const hub = createRealtimeHub("node", tenantId, { url, anonKey, jwtSecret });
  const adapter = createSupabaseAdapter({ url, anonKey, jwtSecret });
  try {
    await hub.initialize();
    const pageJoined = new Promise<void>((resolve) => {
      hub.on("agent:join", ({ agent_id }) => {
        if (agent_id === "page") resolve();
      });
    });
    const page = await browser.newPage();
    await page.goto(served.url);
    await pageJoined;
    await page.locator("#state", { hasText: "joined" }).waitFor();
    await page.locator("#agents li", { hasText: "node: online" }).waitFor();

    await hub.sendMessage("page", "greeting", { text: "<b>hello</b>" });
    await page.locator("#messages li", { hasText: 'node: greeting {"text":"<b>hello</b>"}' }).waitFor();

    await adapter.storeMemory({
      id: "m",
      tenant_id: tenantId,
      agent_id: "node",
      session_id: null,
      content: "Water is wet",
    });
    await page.locator("#memories li", { hasText: "node: Water is wet" }).waitFor();

    expect(await page.locator("#problem").textContent()).toBe("");
    await page.close();
  } finally {
    await Promise.all([hub.shutdown(), adapter.shutdown()]);
  }
});

test("a page refuses secrets, and takes an anon key with an access token", async (context) => {
  needsBrowser(context);
  const script = await bundleText(`
    import { createRealtimeHub, createSupabaseAdapter } from "agent-federation";
    const codeOf = (attempt) => attempt.then(() => "accepted", (error) => error.code);
    globalThis.attempt = async (options) => {
      const adapter = createSupabaseAdapter(options);
      const hub = createRealtimeHub("page", options.tenantId, options);
      const codes = [await codeOf(hub.initialize()), await codeOf(adapter.initialize())];
      await Promise.all([hub.shutdown(), adapter.shutdown()]);
      return codes;
    };
  `);
  const page = await browser.newPage();
  await page.goto(served.url);
  await page.addScriptTag({ content: script, type: "module" });
  await page.waitForFunction(() => "attempt" in globalThis); // the tag is there before its module has run
  const attempt = (options: Record<string, string>): Promise<unknown> =>
    page.evaluate(
      // Set by the script above.
      (given) => (globalThis as unknown as { attempt(options: unknown): unknown }).attempt(given),
      { ...options, tenantId },
    );
  const { url, anonKey, jwtSecret, serviceRoleKey, secretKey } = stack;
  const refused = ["credentials", "credentials"];
  expect(await attempt({ url, anonKey, jwtSecret })).toEqual(refused);
  expect(await attempt({ url, anonKey, serviceRoleKey })).toEqual(refused);
  expect(await attempt({ url, anonKey: serviceRoleKey })).toEqual(refused);
  expect(await attempt({ url, anonKey: secretKey })).toEqual(refused);
  const accessToken = await mintAgentToken({ secret: jwtSecret, tenantId, agentId: "page" });
  expect(await attempt({ url, anonKey, accessToken, jwtSecret })).toEqual(refused);
  expect(await attempt({ url, anonKey, accessToken })).toEqual(["accepted", "accepted"]);
  await page.close();
});
