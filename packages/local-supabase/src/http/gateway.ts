import type { Credential, CredentialProblem, Keyring } from "../keys/credential.ts";

export type Admission = { readonly credential: Credential } | { readonly refusal: Refusal };

/** Always a 401. */
export interface Refusal {
  readonly body: Readonly<Record<string, unknown>>;
  readonly headers: Readonly<Record<string, string>>;
}

export interface PresentedKeys {
  /** The header, else the parameter of that name. */
  readonly apikey: string | undefined;
  readonly authorization: string | undefined;
}

/**
 * Who asks: first the gateway, which wants a key of this project, then PostgREST, which takes the role of the bearer
 * token. Without a bearer token the key speaks for itself.
 */
export async function admit({ apikey, authorization }: PresentedKeys, keyring: Keyring): Promise<Admission> {
  if (apikey === undefined) return { refusal: noKey };
  const key = await keyring.verify(apikey);
  if ("problem" in key || !isProjectKey(key.credential)) return { refusal: wrongKey };
  const token = bearerToken(authorization);
  if (token === undefined) return key;
  const bearer = await keyring.verify(token);
  if ("credential" in bearer) return bearer;
  return acceptedByPostgrest(bearer.problem) ?? { refusal: jwtRefusal(token, bearer.problem) };
}

/** An opaque key, or a legacy one: a token of role anon or service_role that is nobody's. */
function isProjectKey({ role, claims }: Credential): boolean {
  return (role === "anon" || role === "service_role") && claims["sub"] === undefined;
}

function bearerToken(authorization: string | undefined): string | undefined {
  return (
    /^bearer\s(.*)$/i.exec(authorization?.trim() ?? "")?.[1]?.trim() ??
    (/^bearer$/i.test(authorization?.trim() ?? "") ? "" : undefined)
  );
}

/** PostgREST takes a rightly signed token that never ends, and one without a role as anon. */
function acceptedByPostgrest(problem: CredentialProblem): Admission | undefined {
  if (problem.kind !== "claims" || problem.claims === undefined) return undefined;
  const { role = "anon", exp, iat } = problem.claims;
  if (
    typeof role !== "string" ||
    (exp !== undefined && typeof exp !== "number") ||
    (iat !== undefined && typeof iat !== "number")
  ) {
    return undefined;
  }
  return { credential: { role, claims: { role, ...problem.claims }, expiresAtSeconds: exp } };
}

const noKey: Refusal = {
  body: {
    message: "No API key found in request",
    hint: "No `apikey` request header or url param was found.",
  },
  headers: {},
};

const wrongKey: Refusal = {
  body: { message: "Invalid API key", hint: "Double check your Supabase `anon` or `service_role` API key." },
  headers: {},
};

/** Codes and wording: PostgREST's reference, "Errors", group 3. */
function jwtRefusal(token: string, problem: CredentialProblem): Refusal {
  const { code, message, details = null } = jwtError(token, problem);
  return {
    body: { code, details, hint: null, message },
    headers: { "www-authenticate": `Bearer error="invalid_token", error_description="${message}"` },
  };
}

interface JwtError {
  readonly code: "PGRST301" | "PGRST303";
  readonly message: string;
  readonly details?: string;
}

function jwtError(token: string, problem: CredentialProblem): JwtError {
  switch (problem.kind) {
    case "missing":
    case "malformed": {
      if (token === "") return { code: "PGRST301", message: "Empty JWT is sent in Authorization header" };
      const parts = token.split(".").length;
      if (parts !== 3) return { code: "PGRST301", message: `Expected 3 parts in JWT; got ${parts}` };
      return { code: "PGRST301", message: "JWT cryptographic operation failed" };
    }
    case "signature":
    case "unknown-key":
      return {
        code: "PGRST301",
        message: "No suitable key or wrong key type",
        details: "None of the keys was able to decode the JWT",
      };
    case "signer":
      return { code: "PGRST301", message: "Wrong or unsupported encoding algorithm" };
    case "expired":
      return { code: "PGRST303", message: "JWT expired" };
    case "not-yet-valid":
      return { code: "PGRST303", message: "JWT not yet valid" };
    case "claims":
      return { code: "PGRST303", message: "The JWT claims role, exp and iat must be a string and numbers" };
  }
}
