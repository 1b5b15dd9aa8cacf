import { RestError } from "./rest-error.ts";

// What a client can get wrong before the database is asked. Codes, statuses and wording: PostgREST's reference,
// "Errors", group 1 (https://docs.postgrest.org/en/v14/references/errors.html#pgrst1).

export function parseError(message: string, details: string): RestError {
  return new RestError({ status: 400, code: "PGRST100", message, details });
}

export function rpcMethodError(method: string): RestError {
  return new RestError({ status: 405, code: "PGRST101", message: `Cannot use the ${method} method on RPC` });
}

export function bodyError(message: string): RestError {
  return new RestError({ status: 400, code: "PGRST102", message });
}

export function rangeError(details: string): RestError {
  return new RestError({
    status: 416,
    code: "PGRST103",
    message: "Requested range not satisfiable",
    details,
  });
}

export function outOfBoundsError(offset: number, total: number): RestError {
  return rangeError(`An offset of ${offset} was requested, but there are only ${total} rows.`);
}

export function unknownSchemaError(schema: string, exposed: readonly string[]): RestError {
  return new RestError({
    status: 406,
    code: "PGRST106",
    message: `Invalid schema: ${schema}`,
    hint: `Only the following schemas are exposed: ${exposed.join(", ")}`,
  });
}

export function mediaTypeError(accepted: readonly string[]): RestError {
  const message = `None of these media types are available: ${accepted.join(", ")}`;
  return new RestError({ status: 406, code: "PGRST107", message });
}

export function notEmbeddedError(resource: string): RestError {
  return new RestError({
    status: 400,
    code: "PGRST108",
    message: `'${resource}' is not an embedded resource in this request`,
    hint: `Verify that '${resource}' is included in the 'select' query parameter.`,
  });
}

export function responseHeadersError(): RestError {
  const message =
    "response.headers guc must be a JSON array composed of objects with a single key and a string value";
  return new RestError({ status: 500, code: "PGRST111", message });
}

export function responseStatusError(): RestError {
  return new RestError({
    status: 500,
    code: "PGRST112",
    message: "response.status guc must be a valid status code",
  });
}

export function singularityError(rows: number): RestError {
  return new RestError({
    status: 406,
    code: "PGRST116",
    message: "Cannot coerce the result to a single JSON object",
    details: `The result contains ${rows} rows`,
  });
}

export function methodError(method: string): RestError {
  return new RestError({ status: 405, code: "PGRST117", message: `Unsupported HTTP method: ${method}` });
}

export function relatedOrderError(origin: string, target: string): RestError {
  return new RestError({
    status: 400,
    code: "PGRST118",
    message: `A related order on '${target}' is not possible`,
    details: `'${origin}' and '${target}' do not form a many-to-one or one-to-one relationship`,
  });
}

export function preferenceError(invalid: readonly string[]): RestError {
  return new RestError({
    status: 400,
    code: "PGRST122",
    message: "Invalid preferences given with handling=strict",
    details: `Invalid preferences: ${invalid.join(", ")}`,
  });
}

export function aggregateError(): RestError {
  return new RestError({
    status: 400,
    code: "PGRST123",
    message: "Use of aggregate functions is not allowed",
  });
}

export function maxAffectedError(rows: number): RestError {
  return new RestError({
    status: 400,
    code: "PGRST124",
    message: "Query result exceeds max-affected preference constraint",
    details: `The query affects ${rows} rows`,
  });
}

export function pathError(): RestError {
  return new RestError({ status: 404, code: "PGRST125", message: "Invalid path specified in request URL" });
}

/** For what PostgREST can do and we leave out: `details` names it. */
export function notImplementedError(details: string): RestError {
  return new RestError({ status: 400, code: "PGRST127", message: "Feature not implemented", details });
}

export function maxAffectedRpcError(): RestError {
  return new RestError({
    status: 400,
    code: "PGRST128",
    message: "Function must return SETOF or TABLE when max-affected preference is used with handling=strict",
  });
}
