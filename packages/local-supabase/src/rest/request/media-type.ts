import { mediaTypeError } from "../errors/request-errors.ts";

/** The shape of the answer that the `Accept` header asks for. */
export interface Representation {
  readonly shape: "array" | "object";
  /** Leaves out members that are null. */
  readonly stripNulls: boolean;
  /** Answer how Postgres would run the query instead of what it finds. */
  readonly plan: Plan | undefined;
  readonly contentType: string;
}

export interface Plan {
  readonly format: "text" | "json";
  readonly options: readonly PlanOption[];
}

const planOptions = ["analyze", "verbose", "settings", "buffers", "wal"] as const;
export type PlanOption = (typeof planOptions)[number];

/** The first type that can be answered; CSV, GeoJSON, others, and plans unless they are allowed, are refused with 406. */
export function negotiate(accept: string | undefined, allowsPlans: boolean): Representation {
  const accepted = byQuality(accept ?? "*/*");
  for (const type of accepted) {
    const representation = representationOf(type);
    if (representation === undefined) continue;
    if (representation.plan === undefined || allowsPlans) return representation;
  }
  throw mediaTypeError(accepted.map(({ text }) => text));
}

interface MediaType {
  readonly text: string;
  readonly name: string;
  readonly parameters: ReadonlyMap<string, string>;
}

function representationOf(type: MediaType): Representation | undefined {
  const stripNulls = type.parameters.get("nulls") === "stripped";
  switch (type.name) {
    case "application/json":
    case "*/*":
    case "application/*":
    case "":
      return {
        shape: "array",
        stripNulls: false,
        plan: undefined,
        contentType: "application/json; charset=utf-8",
      };
    case "application/vnd.pgrst.array":
    case "application/vnd.pgrst.array+json":
      return {
        shape: "array",
        stripNulls,
        plan: undefined,
        contentType: stripNulls
          ? "application/vnd.pgrst.array+json;nulls=stripped; charset=utf-8"
          : "application/json; charset=utf-8",
      };
    case "application/vnd.pgrst.object":
    case "application/vnd.pgrst.object+json":
      return {
        shape: "object",
        stripNulls,
        plan: undefined,
        contentType: `application/vnd.pgrst.object+json${stripNulls ? ";nulls=stripped" : ""}; charset=utf-8`,
      };
    case "application/vnd.pgrst.plan":
    case "application/vnd.pgrst.plan+text":
    case "application/vnd.pgrst.plan+json":
      return planOf(type);
    default:
      return undefined;
  }
}

function planOf(type: MediaType): Representation | undefined {
  const planned = representationOf(mediaType(type.parameters.get("for") ?? "application/json"));
  if (planned === undefined || planned.plan !== undefined) return undefined;
  const asked = (type.parameters.get("options") ?? "").split("|");
  const format = type.name.endsWith("+json") ? "json" : "text";
  const options = planOptions.filter((option) => asked.includes(option));
  return {
    ...planned,
    plan: { format, options },
    contentType: `application/vnd.pgrst.plan+${format}; charset=utf-8`,
  };
}

function byQuality(accept: string): readonly MediaType[] {
  const types = splitOutsideQuotes(accept, ",").map(mediaType);
  const quality = ({ parameters }: MediaType): number => Number(parameters.get("q") ?? "1") || 0;
  // Array#sort is stable: of two equally welcome types the first named wins.
  return types.sort((a, b) => quality(b) - quality(a));
}

function mediaType(text: string): MediaType {
  const [name, ...parameters] = splitOutsideQuotes(text, ";");
  return {
    text: text.trim(),
    name: (name ?? "").trim().toLowerCase(),
    parameters: new Map(
      parameters.map((parameter) => {
        const at = parameter.indexOf("=");
        const value = parameter.slice(at + 1).trim();
        return [parameter.slice(0, at).trim().toLowerCase(), value.replace(/^"(.*)"$/, "$1")];
      }),
    ),
  };
}

function splitOutsideQuotes(text: string, separator: "," | ";"): string[] {
  return text.match(separator === "," ? /(?:"[^"]*"|[^,"]|")+/g : /(?:"[^"]*"|[^;"]|")+/g) ?? [text];
}
