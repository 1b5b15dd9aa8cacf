/** Who a request or a socket speaks for, once its key or token was verified. */
export interface Credential {
  /** The Postgres role: `anon`, `authenticated`, `service_role`, or whatever a validly signed token names. */
  readonly role: string;
  /** The claims of the token, as the database sees them in `request.jwt.claims`. */
  readonly claims: Readonly<Record<string, unknown>>;
  /** Seconds since 1970, or undefined where the credential does not end (an opaque key). */
  readonly expiresAtSeconds: number | undefined;
}

/** Why a credential was refused; each door (REST, socket, join) words it in its own way. */
export type CredentialProblem =
  | { readonly kind: "missing" }
  /** Not three base64url parts of JSON. */
  | { readonly kind: "malformed" }
  | { readonly kind: "signature" }
  /** An algorithm we cannot check with what we have, `none` among them. */
  | { readonly kind: "signer"; readonly keyId: string | undefined }
  | { readonly kind: "expired"; readonly secondsAgo: number }
  | { readonly kind: "not-yet-valid" }
  /** `role` or `exp` is missing or no string or number. The signature is right: PostgREST takes a token without either. */
  | { readonly kind: "claims"; readonly claims?: Readonly<Record<string, unknown>> }
  | { readonly kind: "unknown-key" };

export type Verified = { readonly credential: Credential } | { readonly problem: CredentialProblem };

export interface Keyring {
  readonly anonKey: string;
  readonly serviceRoleKey: string;
  readonly publishableKey: string;
  readonly secretKey: string;
  readonly jwtSecret: string;
  /** A legacy key, a bearer JWT, `sb_publishable_…` or `sb_secret_…`. Never rejects; answers are cached until expiry. */
  verify(token: string): Promise<Verified>;
  /** Signs claims with the secret. `role` defaults to "authenticated", `exp` to one hour from now, `iat` is set. */
  mint(claims: Readonly<Record<string, unknown>>): Promise<string>;
}
