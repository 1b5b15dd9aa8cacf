import { randomUUID } from "node:crypto";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, afterEach, beforeAll } from "vitest";
import type { LimitsOption } from "../../../local-supabase/src/realtime/limits/plans.ts";
import { startTestStack } from "../../../../test-support/stack.ts";
import type { HubOptions } from "../config/hub-options.ts";
import type { HubEvents } from "../hub/hub-events.ts";
import { createRealtimeHub, type RealtimeFederationHub } from "../realtime-hub.ts";
import { mintAgentToken } from "../tokens/mint-agent-token.ts";

type Stack = Awaited<ReturnType<typeof startTestStack>>;

export const migrationsDir: string = fileURLToPath(
  new URL("../../../../supabase/migrations/", import.meta.url),
);

/** A stack for the tests of a file, a tenant for each test, and hubs that are shut down after it. */
export interface HubBench {
  readonly stack: Stack;
  /** Fresh for each test. */
  readonly tenant: string;
  /** Not initialized. */
  make(agentId: string, options?: HubOptions, tenant?: string): RealtimeFederationHub;
  /** Initialized. */
  open(agentId: string, options?: HubOptions, tenant?: string): Promise<RealtimeFederationHub>;
  mint(agentId: string, tenant?: string, ttlSeconds?: number): Promise<string>;
  /** Runs after the test, once its hubs are shut down. */
  defer(cleanUp: () => unknown): void;
}

export function useHubBench({
  sql,
  ...limited
}: {
  /** A migration after ours. */
  readonly sql?: string;
  /** Of Realtime. Default: none. */
  readonly limits?: LimitsOption;
} = {}): HubBench {
  let stack: Stack | undefined;
  let tenant = "";
  const hubs: RealtimeFederationHub[] = [];
  const cleanUps: (() => unknown)[] = [];
  const started = (): Stack => {
    if (stack === undefined) throw new Error("the stack is there once the first test runs");
    return stack;
  };

  beforeAll(async () => {
    const folder = sql === undefined ? migrationsDir : withMigration(sql);
    stack = await startTestStack({ migrationsDir: folder, ...limited });
    if (folder !== migrationsDir) rmSync(folder, { recursive: true });
    tenant = freshTenant();
  }, 120_000);
  afterEach(async () => {
    await Promise.all(hubs.splice(0).map((hub) => hub.shutdown()));
    for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
    tenant = freshTenant();
  }, 60_000);
  afterAll(async () => {
    await stack?.close();
  });

  const make = (
    agentId: string,
    options: HubOptions = {},
    inTenant: string = tenant,
  ): RealtimeFederationHub => {
    const { url, anonKey, jwtSecret } = started();
    // An accessToken takes the place of the secret, as it would in the environment.
    const credential =
      options.accessToken === undefined && options.serviceRoleKey === undefined ? { jwtSecret } : {};
    // The machine that runs the tests may be busy with others.
    const hub = createRealtimeHub(agentId, inTenant, {
      url,
      anonKey,
      ...credential,
      initializeTimeoutMs: 25_000,
      ...options,
    });
    hubs.push(hub);
    return hub;
  };
  return {
    get stack() {
      return started();
    },
    get tenant() {
      return tenant;
    },
    make,
    open: async (agentId, options, inTenant) => {
      const hub = make(agentId, options, inTenant);
      await hub.initialize();
      return hub;
    },
    mint: (agentId, inTenant = tenant, ttlSeconds = 3600) =>
      mintAgentToken({ secret: started().jwtSecret, tenantId: inTenant, agentId, ttlSeconds }),
    defer: (cleanUp) => void cleanUps.push(cleanUp),
  };
}

/** A temporary folder with our migrations and one more. */
function withMigration(sql: string): string {
  const folder = mkdtempSync(join(tmpdir(), "agent-federation-migrations-"));
  cpSync(migrationsDir, folder, { recursive: true });
  writeFileSync(join(folder, "20990101000000_more.sql"), sql);
  return folder;
}

export function freshTenant(): string {
  return `tenant-${randomUUID()}`;
}

/** The next event for which `test` holds. Listening begins at once. */
export function next<K extends keyof HubEvents>(
  hub: RealtimeFederationHub,
  event: K,
  test: (value: HubEvents[K]) => boolean = () => true,
): Promise<HubEvents[K]> {
  return new Promise((resolve) => {
    const remove = hub.on(
      event,
      (value) => {
        // The hub's own event types are these: it has no type parameter of its own.
        const heard = value as HubEvents[K];
        if (!test(heard)) return;
        remove();
        resolve(heard);
      },
      { replay: false },
    );
  });
}

/** Resolves when `test` holds, looked at whenever one of `events` happens. */
export function until(
  hub: RealtimeFederationHub,
  events: readonly (keyof HubEvents)[],
  test: () => boolean,
): Promise<void> {
  return new Promise((resolve) => {
    const removers: (() => void)[] = [];
    const look = (): void => {
      if (!test()) return;
      for (const remove of removers) remove();
      resolve();
    };
    for (const event of events) removers.push(hub.on(event, look, { replay: false }));
    look();
  });
}
