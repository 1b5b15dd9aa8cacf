import { outOfBoundsError, responseHeadersError, responseStatusError } from "../errors/request-errors.ts";
import { isHeaderName, isStatus } from "../errors/database-errors.ts";
import { headerSafe } from "../errors/rest-error.ts";
import type { Plan } from "../plan/plan.ts";
import { preferenceApplied, type Applicable } from "../request/preferences.ts";
import { contentRange } from "../request/range.ts";
import type { ParsedRequest } from "../request/request.ts";
import type { RestResponse } from "../rest.ts";
import type { Outcome } from "./execute.ts";

/** Status, headers and body of what was found or done. Pure. */
export function respond(request: ParsedRequest, plan: Plan, outcome: Outcome): RestResponse {
  const { preferences, representation } = request;
  const response = representation.plan === undefined ? answer(request, plan, outcome) : explained(outcome);
  const applied = preferenceApplied(preferences, applicable(plan));
  const typed = response.body === undefined ? {} : { "content-type": representation.contentType };
  const headers = {
    ...response.headers,
    ...typed,
    ...(request.schemaNamed && response.body !== undefined
      ? { "content-profile": headerSafe(request.schema) }
      : {}),
    ...(applied === undefined ? {} : { "preference-applied": headerSafe(applied) }),
  };
  return {
    status: outcome.status === undefined ? response.status : statusSetting(outcome.status),
    headers: { ...headers, ...headersSetting(outcome.headers) },
    body: response.body ?? "",
  };
}

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  /** Undefined: none, hence no type either. */
  readonly body: string | undefined;
}

function applicable(plan: Plan): Applicable {
  return plan.kind === "write" ? plan.write.kind : plan.kind;
}

function answer(request: ParsedRequest, plan: Plan, outcome: Outcome): Answer {
  switch (plan.kind) {
    case "read":
      return page(request, outcome);
    case "call":
      return plan.call.function.returns.kind === "void"
        ? { status: 204, headers: page(request, outcome).headers, body: undefined }
        : page(request, outcome);
    case "write":
      return written(request, plan.write.kind, plan.write.table.name, outcome);
  }
}

function explained({ body }: Outcome): Answer {
  return { status: 200, headers: {}, body };
}

function page({ window }: ParsedRequest, { rows, total, body }: Outcome): Answer {
  const { offset } = window;
  const headers = { "content-range": contentRange(offset, rows, total) };
  if (total === undefined) return { status: 200, headers, body };
  if (offset > total) {
    const refused = outOfBoundsError(offset, total).toResponse();
    return {
      status: 416,
      headers: { ...refused.headers, "content-range": `*/${total}` },
      body: refused.body,
    };
  }
  return { status: rows < total ? 206 : 200, headers, body };
}

function written(
  { preferences }: ParsedRequest,
  kind: "insert" | "update" | "delete",
  table: string,
  { rows, body, location, inserted }: Outcome,
): Answer {
  const total = preferences.count === "exact" || preferences.count === "estimated" ? rows : undefined;
  const range = contentRange(0, kind === "update" ? rows : 0, total);
  const headers = {
    "content-range": range,
    ...(location === undefined ? {} : { location: locationOf(table, location) }),
  };
  const wantsBody = preferences.representation === "representation";
  if (kind !== "insert")
    return { status: wantsBody ? 200 : 204, headers, body: wantsBody ? body : undefined };
  const onlyUpdated =
    preferences.resolution === "merge-duplicates" && inserted !== undefined && inserted <= 0;
  return { status: onlyUpdated ? 200 : 201, headers, body: wantsBody ? body : undefined };
}

/** Where the new row can be read. Everything from the database is encoded. */
function locationOf(table: string, key: Readonly<Record<string, string | null>>): string {
  const conditions = Object.entries(key).map(
    ([name, value]) =>
      `${encodeURIComponent(name)}=${value === null ? "is.null" : `eq.${encodeURIComponent(value)}`}`,
  );
  return `/${encodeURIComponent(table)}?${conditions.join("&")}`;
}

function statusSetting(text: string): number {
  const status = /^[0-9]+$/.test(text) ? Number(text) : undefined;
  if (!isStatus(status)) throw responseStatusError();
  return status;
}

/** `[{"name": "value"}, …]`, what a function may leave in `response.headers`. */
function headersSetting(text: string | undefined): Readonly<Record<string, string>> {
  if (text === undefined) return {};
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw responseHeadersError();
  }
  if (!Array.isArray(list)) throw responseHeadersError();
  const headers: Record<string, string> = {};
  for (const entry of list) {
    const members: readonly [string, unknown][] =
      typeof entry === "object" && entry !== null && !Array.isArray(entry) ? Object.entries(entry) : [];
    const [member, second] = members;
    if (
      member === undefined ||
      second !== undefined ||
      typeof member[1] !== "string" ||
      !isHeaderName(member[0])
    ) {
      throw responseHeadersError();
    }
    const name = member[0].toLowerCase();
    const value = headerSafe(member[1]);
    headers[name] = headers[name] === undefined ? value : `${headers[name]}, ${value}`;
  }
  return headers;
}
