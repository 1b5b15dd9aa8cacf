import { joined, sql, value, type Sql } from "./sql.ts";

/** What holds during one request's transaction. */
export interface RequestSettings {
  readonly searchPath: readonly string[];
  readonly role: string;
  readonly claims: Readonly<Record<string, unknown>>;
  readonly method: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly statementTimeout: string;
  readonly timezone: string | undefined;
  readonly readOnly: boolean;
}

/** One statement that sets them all, until the transaction ends. The role comes late: the rest is set with our rights. */
export function settingsSql(settings: RequestSettings): Sql {
  const { cookie, ...headers } = settings.headers;
  const schemas = settings.searchPath.map((schema) => `"${schema.replaceAll('"', '""')}"`).join(", ");
  const local = (name: Sql, text: string): Sql => sql`set_config(${name}, ${value(text)}, true)`;
  const all = [
    local(sql`'search_path'`, schemas),
    local(sql`'statement_timeout'`, settings.statementTimeout),
    local(sql`'request.jwt.claims'`, JSON.stringify({ ...settings.claims, role: settings.role })),
    local(sql`'request.method'`, settings.method),
    local(sql`'request.path'`, settings.path),
    local(sql`'request.headers'`, JSON.stringify(headers)),
    local(sql`'request.cookies'`, JSON.stringify(parseCookies(cookie))),
    ...(settings.timezone === undefined ? [] : [local(sql`'timezone'`, settings.timezone)]),
    local(sql`'role'`, settings.role),
    ...(settings.readOnly ? [local(sql`'transaction_read_only'`, "on")] : []),
  ];
  return sql`select ${joined(all, ", ")}`;
}

function parseCookies(header: string | undefined): Readonly<Record<string, string>> {
  const pairs = (header ?? "").split(";").map((pair) => pair.trim().split("="));
  return Object.fromEntries(
    pairs.flatMap(([name, ...rest]) => (name === undefined || name === "" ? [] : [[name, rest.join("=")]])),
  );
}
