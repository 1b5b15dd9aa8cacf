/** What a REST request is answered with. */
export interface Answer {
  readonly status: number;
  readonly contentType: string | undefined;
  readonly body: string;
}

const JSON_TYPE = "application/json; charset=utf-8";
const HTML_TYPE = "text/html; charset=utf-8";

export const accepted: Answer = { status: 202, contentType: undefined, body: "" };
export const badRequest: Answer = { status: 400, contentType: HTML_TYPE, body: "Bad Request" };
export const notFound: Answer = { status: 404, contentType: HTML_TYPE, body: "Not Found" };
export const tooLarge: Answer = { status: 413, contentType: HTML_TYPE, body: "Request Entity Too Large" };
export const unauthorized: Answer = answerWith(401, { message: "Unauthorized" });
export const forbidden: Answer = answerWith(403, { message: "Unauthorized" });

export function answerWith(status: number, body: object): Answer {
  return { status, contentType: JSON_TYPE, body: JSON.stringify(body) };
}
