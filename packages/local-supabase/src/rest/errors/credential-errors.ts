import type { CredentialProblem } from "../../keys/credential.ts";
import type { RestResponse } from "../rest.ts";
import { RestError } from "./rest-error.ts";

/**
 * The answer to a request whose key or token was refused, for the HTTP layer in front of REST. Codes, statuses and
 * wording: PostgREST's reference, "Errors", group 3
 * (https://docs.postgrest.org/en/v14/references/errors.html#pgrst3).
 */
export function credentialResponse(problem: CredentialProblem): RestResponse {
  return credentialError(problem).toResponse();
}

function credentialError(problem: CredentialProblem): RestError {
  switch (problem.kind) {
    case "missing":
      return new RestError({
        status: 401,
        code: "PGRST302",
        message: "Anonymous access is disabled",
        hint: "Send an API key in the `apikey` header, or a token in the `authorization` header.",
        headers: { "www-authenticate": "Bearer" },
      });
    case "malformed":
      return refused("PGRST301", "JWT couldn't be decoded");
    case "signature":
      return refused(
        "PGRST301",
        "No suitable key or wrong key type",
        "None of the keys was able to decode the JWT",
      );
    case "signer": {
      const details = problem.keyId === undefined ? null : `No key has the id '${problem.keyId}'`;
      return refused("PGRST301", "No suitable key or wrong key type", details);
    }
    case "expired":
      return refused("PGRST303", "JWT expired");
    case "not-yet-valid":
      return refused("PGRST303", "JWT not yet valid");
    case "claims":
      return refused("PGRST303", "Parsing claims failed");
    case "unknown-key":
      return refused("PGRST301", "Invalid API key");
  }
}

function refused(code: string, message: string, details: string | null = null): RestError {
  const challenge = `Bearer error="invalid_token", error_description=${JSON.stringify(message)}`;
  return new RestError({ status: 401, code, message, details, headers: { "www-authenticate": challenge } });
}
