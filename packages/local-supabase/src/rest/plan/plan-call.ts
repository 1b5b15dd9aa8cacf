import { maxAffectedRpcError, notImplementedError } from "../errors/request-errors.ts";
import { ambiguousFunctionError, noFunctionError } from "../errors/schema-errors.ts";
import type { JsonPayload } from "../request/payload.ts";
import type { ParsedRequest } from "../request/request.ts";
import type { DatabaseFunction, Parameter, SchemaCache } from "../schema/schema-cache.ts";

export interface Call {
  readonly function: DatabaseFunction;
  readonly args: CallArguments;
  /** Runs in a transaction that cannot write: called by GET or HEAD, or not volatile. */
  readonly readOnly: boolean;
}

export type CallArguments =
  | { readonly kind: "none" }
  /** By GET: each as text. */
  | {
      readonly kind: "values";
      readonly values: readonly { readonly parameter: Parameter; readonly text: string }[];
    }
  /** By POST: members of the JSON body. */
  | { readonly kind: "members"; readonly parameters: readonly Parameter[]; readonly payload: JsonPayload }
  /** The whole body for a single parameter without a name. */
  | { readonly kind: "whole"; readonly type: string; readonly text: string };

type CallRequest = Extract<ParsedRequest, { kind: "call" }>;

/** Chooses the function by name and names of arguments, and pairs arguments with parameters. */
export function planCall(request: CallRequest, cache: SchemaCache): Call {
  const chosen = chooseFunction(request, cache);
  if (chosen.parameters.some((parameter) => parameter.variadic)) {
    throw notImplementedError("Functions with variadic parameters are not implemented in rpc.");
  }
  const { maxAffected, handling } = request.preferences;
  if (maxAffected !== undefined && handling === "strict" && !chosen.returnsSet) throw maxAffectedRpcError();
  const readOnly = request.method !== "post" || chosen.volatility !== "volatile";
  return { function: chosen, args: planArguments(request, chosen), readOnly };
}

function argumentNames({ payload, query }: CallRequest): ReadonlySet<string> {
  if (payload === undefined) return new Set(query.args.map(([name]) => name));
  return new Set(payload.kind === "json" ? payload.keys : []);
}

function chooseFunction(request: CallRequest, cache: SchemaCache): DatabaseFunction {
  const { schema, name, payload } = request;
  const names = argumentNames(request);
  const overloads = cache.functions(schema, name);
  const unnamed = payload === undefined ? undefined : payload.kind === "json" ? "json" : payload.type;
  const byNames = overloads.filter((candidate) => takes(candidate, names, unnamed));
  const matches =
    byNames.length > 0 ? byNames : overloads.filter((candidate) => takesWholeBody(candidate, unnamed));
  const [first, second] = matches;
  if (first === undefined) throw noFunctionError(cache, { schema, name, argumentNames: [...names], unnamed });
  if (second !== undefined) throw ambiguousFunctionError(matches);
  return first;
}

/** Every argument is a parameter, and every parameter without a default is given. */
function takes(
  candidate: DatabaseFunction,
  names: ReadonlySet<string>,
  unnamed: string | undefined,
): boolean {
  const { parameters } = candidate;
  if (parameters.length === 0) return names.size === 0 && (unnamed === undefined || unnamed === "json");
  if (parameters.some((parameter) => parameter.name === "")) return false;
  const known = new Set(parameters.map((parameter) => parameter.name));
  return (
    [...names].every((name) => known.has(name)) &&
    parameters.every((parameter) => !parameter.required || names.has(parameter.name))
  );
}

function takesWholeBody({ parameters }: DatabaseFunction, unnamed: string | undefined): boolean {
  const [parameter, second] = parameters;
  if (parameter === undefined || second !== undefined || parameter.name !== "") return false;
  return unnamed === "json"
    ? parameter.type === "json" || parameter.type === "jsonb"
    : parameter.type === unnamed;
}

function planArguments({ payload, query }: CallRequest, chosen: DatabaseFunction): CallArguments {
  const [only] = chosen.parameters;
  if (only === undefined) return { kind: "none" };
  if (only.name === "") return { kind: "whole", type: only.type, text: payload?.text ?? "" };
  if (payload === undefined) {
    const given = new Map(query.args);
    const values = chosen.parameters.flatMap((parameter) => {
      const text = given.get(parameter.name);
      return text === undefined ? [] : [{ parameter, text }];
    });
    return { kind: "values", values };
  }
  if (payload.kind === "raw") return { kind: "none" };
  const parameters = chosen.parameters.filter(({ name }) => payload.keys.includes(name));
  return parameters.length === 0 ? { kind: "none" } : { kind: "members", parameters, payload };
}
