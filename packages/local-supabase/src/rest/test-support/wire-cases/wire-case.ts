/** One request as it stands on the wire, and what PostgREST documents as its answer. */
export interface WireCase {
  readonly name: string;
  /** The page below https://docs.postgrest.org/en/v14/references/ that says so. */
  readonly source: string;
  /** "GET /people?id=eq.1" */
  readonly send: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly role?: string;
  readonly status: number;
  readonly json?: unknown;
  readonly text?: string;
  readonly has?: Readonly<Record<string, string>>;
  readonly hasNot?: readonly string[];
}
