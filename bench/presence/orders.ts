/** What the processes of the presence proof say to each other. */
export interface Place {
  readonly tenant: string;
  readonly url: string;
  readonly anonKey: string;
  readonly jwtSecret: string;
}

/** An agent's new status; undefined when it leaves. */
export interface Change {
  readonly agent: string;
  readonly to: string | undefined;
}

export type Order =
  | { readonly type: "open"; readonly agents: readonly string[] }
  /** Say when all of your agents show this. */
  | { readonly type: "expect"; readonly change: Change }
  | { readonly type: "change"; readonly change: Change }
  | { readonly type: "list" }
  | { readonly type: "close" };

export type Said =
  | { readonly type: "ready" | "opened" }
  | { readonly type: "known" | "changed"; readonly change: Change; readonly atMs: number }
  | { readonly type: "lists"; readonly lists: readonly (readonly string[])[] }
  | { readonly type: "trouble"; readonly text: string };
