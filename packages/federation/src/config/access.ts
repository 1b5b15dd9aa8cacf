import { readClaims } from "../tokens/claims.ts";
import { FederationError } from "../runtime/errors.ts";
import type { Environment } from "./environment.ts";

/** Called for a token at the start and again before it expires. */
export type AccessTokenCallback = () => Promise<string | null> | string | null;

/** What a caller may say about the project and about who it is. Hub and adapter share these. */
export interface AccessOptions {
  /** The project's URL. Default: SUPABASE_URL. */
  readonly url?: string | undefined;
  /** The anon key, or a publishable key (`sb_publishable_…`). Default: SUPABASE_ANON_KEY. */
  readonly anonKey?: string | undefined;
  /** The service role key, or a secret key (`sb_secret_…`): servers only, bypasses row level security. Default: SUPABASE_SERVICE_ROLE_KEY. */
  readonly serviceRoleKey?: string | undefined;
  /** The project's JWT secret, servers only: agent tokens are minted with it. Default: SUPABASE_JWT_SECRET. */
  readonly jwtSecret?: string | undefined;
  /** A token, or a function that returns one and is called again before it expires. Default: FEDERATION_ACCESS_TOKEN. */
  readonly accessToken?: AccessTokenCallback | string | undefined;
}

/** How requests prove who makes them, in the order in which it is chosen. */
export type Credential =
  | { readonly kind: "callback"; readonly accessToken: AccessTokenCallback }
  | { readonly kind: "token"; readonly token: string; readonly from: string }
  | { readonly kind: "secret"; readonly secret: string }
  | { readonly kind: "service-role"; readonly key: string };

/** Where the project is and how to speak to it. */
export interface Access {
  readonly url: string;
  /** The `apikey` header and socket parameter. */
  readonly apiKey: string;
  readonly credential: Credential;
}

/**
 * Picks the credential: an access token, then a JWT secret to mint agent tokens with, then the service role key. What the caller
 * passed comes before the environment, except that the service role key never comes before anything. Pure. Throws FederationError "credentials" when there is none, or one that a browser must not hold.
 */
export function resolveAccess(options: AccessOptions, environment: Environment, inBrowser: boolean): Access {
  const url = requireUrl(options.url ?? environment["SUPABASE_URL"]);
  const given = keysOf(options, "option");
  // The environment's keys belong to the environment's project: they are not sent to another one.
  const isSameProject =
    options.url === undefined || sameUrl(options.url, environment["SUPABASE_URL"] ?? options.url);
  const found = isSameProject ? keysOf(fromEnvironment(environment), "environment") : noKeys;
  const publicKey = given.publicKey ?? found.publicKey;
  const credential = firstOf(given.credential, found.credential);

  if (inBrowser) refuseSecrets(given);
  if (credential === undefined)
    throw new FederationError("credentials", missingCredential(url, publicKey), { remedy: remedies });
  if (credential.kind === "service-role") return { url, apiKey: credential.key, credential };
  if (publicKey === undefined) {
    throw new FederationError(
      "credentials",
      `${url}: no anon key, which the project's gateway asks for beside any token`,
      {
        remedy: "Set SUPABASE_ANON_KEY (or the anonKey option) to the anon or publishable key of the project",
      },
    );
  }
  return { url, apiKey: publicKey, credential };
}

/** What an API key is for, from its shape. */
export function keyKind(key: string): "public" | "secret" | "unknown" {
  if (key.startsWith("sb_publishable_")) return "public";
  if (key.startsWith("sb_secret_")) return "secret";
  const role = readClaims(key)?.role;
  if (role === "anon") return "public";
  if (role === "service_role") return "secret";
  return "unknown";
}

interface Keys {
  readonly publicKey: string | undefined;
  readonly credential: Credential | undefined;
  readonly holdsSecret: boolean;
}

const noKeys: Keys = { publicKey: undefined, credential: undefined, holdsSecret: false };

function keysOf(options: AccessOptions, from: "option" | "environment"): Keys {
  const { accessToken } = options;
  const jwtSecret = filled(options.jwtSecret);
  const anonKey = filled(options.anonKey);
  // A service key in the place of the anon key is still a service key.
  const isSwapped = anonKey !== undefined && keyKind(anonKey) === "secret";
  const serviceKey = filled(options.serviceRoleKey) ?? (isSwapped ? anonKey : undefined);
  const credential = firstCredential(accessToken, jwtSecret, serviceKey, from);
  return {
    publicKey: isSwapped ? undefined : anonKey,
    credential,
    holdsSecret: jwtSecret !== undefined || serviceKey !== undefined,
  };
}

function firstCredential(
  accessToken: AccessOptions["accessToken"],
  jwtSecret: string | undefined,
  serviceKey: string | undefined,
  from: "option" | "environment",
): Credential | undefined {
  if (typeof accessToken === "function") return { kind: "callback", accessToken };
  const token = filled(accessToken);
  if (token !== undefined) {
    return {
      kind: "token",
      token,
      from: from === "option" ? "the accessToken option" : "FEDERATION_ACCESS_TOKEN",
    };
  }
  if (jwtSecret !== undefined) return { kind: "secret", secret: jwtSecret };
  if (serviceKey !== undefined) return { kind: "service-role", key: serviceKey };
  return undefined;
}

function firstOf(given: Credential | undefined, found: Credential | undefined): Credential | undefined {
  if (given?.kind === "service-role" && found !== undefined)
    return found.kind === "service-role" ? given : found;
  return given ?? found;
}

function fromEnvironment(environment: Environment): AccessOptions {
  return {
    anonKey: environment["SUPABASE_ANON_KEY"],
    serviceRoleKey: environment["SUPABASE_SERVICE_ROLE_KEY"],
    jwtSecret: environment["SUPABASE_JWT_SECRET"],
    accessToken: environment["FEDERATION_ACCESS_TOKEN"],
  };
}

function refuseSecrets(keys: Keys): void {
  if (!keys.holdsSecret) return;
  throw new FederationError(
    "credentials",
    "a JWT secret or service role key was given to a page, where everybody can read it",
    {
      remedy:
        "Give the page the anon key and an accessToken callback, and revoke the key if the page was published",
    },
  );
}

const remedies =
  "Pass an accessToken callback, set FEDERATION_ACCESS_TOKEN to an agent's token, " +
  "set SUPABASE_JWT_SECRET on a server (the hub then mints agent tokens itself), " +
  "or set SUPABASE_SERVICE_ROLE_KEY on a server (which bypasses row level security)";

function missingCredential(url: string, publicKey: string | undefined): string {
  if (publicKey === undefined) return `${url}: no key and no token`;
  return `${url}: the anon key alone says nothing about who the agent is, and sees and joins nothing`;
}

function requireUrl(value: string | undefined): string {
  const text = filled(value);
  if (text === undefined) {
    throw new FederationError("credentials", "no Supabase URL", {
      remedy: "Set SUPABASE_URL, or pass the url option",
    });
  }
  let url: URL | undefined;
  try {
    url = new URL(text);
  } catch {
    url = undefined; // reported below
  }
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    throw new FederationError(
      "invalid_argument",
      `the Supabase URL: expected http(s)://…, got ${JSON.stringify(text)}`,
    );
  }
  return url.href.replace(/\/+$/, "");
}

function sameUrl(a: string, b: string): boolean {
  return (
    URL.canParse(a) &&
    URL.canParse(b) &&
    new URL(a).href.replace(/\/+$/, "") === new URL(b).href.replace(/\/+$/, "")
  );
}

function filled(value: unknown): string | undefined {
  return typeof value === "string" && value.trim() !== "" ? value.trim() : undefined;
}
