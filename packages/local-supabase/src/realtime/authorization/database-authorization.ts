import type { Database } from "../../database/database.ts";
import type { RealtimeParts } from "../realtime.ts";
import type { Asker, Authorization, Verdict, WriteRight } from "./authorization.ts";
import { checkRightsSql } from "./check-rights.sql.ts";

/** Resolves when `realtime.check_rights` is there to be asked. */
export async function databaseAuthorization(
  database: Database,
  log: RealtimeParts["log"],
): Promise<Authorization> {
  await database.exec(checkRightsSql);

  async function ask(asked: "read" | WriteRight, asker: Asker): Promise<string | undefined> {
    const { subTopic, credential, headers } = asker;
    // A text in Postgres has no NUL, so no policy can allow such a topic.
    if (subTopic.includes("\0") || credential.role.includes("\0")) return asked === "read" ? "" : "denied";
    const params = [
      asked,
      subTopic,
      credential.role,
      JSON.stringify(credential.claims),
      JSON.stringify(headers),
    ];
    try {
      const { rows } = await database.query("select realtime.check_rights($1, $2, $3, $4, $5)", params);
      return rows[0]?.[0] ?? undefined;
    } catch (error) {
      log("error", "realtime: the database could not say who may do what", { reason: String(error) });
      return undefined;
    }
  }

  return {
    async mayRead(asker) {
      const answer = await ask("read", asker);
      if (answer === undefined) return undefined;
      const kinds = answer.split(" ");
      return { broadcast: kinds.includes("broadcast"), presence: kinds.includes("presence") };
    },
    async mayWrite(asker, extension): Promise<Verdict> {
      const answer = await ask(extension, asker);
      if (answer === "allowed" || answer === "denied") return answer;
      if (answer !== undefined)
        log("info", "realtime: a policy on realtime.messages failed", { reason: answer });
      return "failed";
    },
  };
}
