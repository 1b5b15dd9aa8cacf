import { Agent, request } from "node:http";
import type { Served } from "./serve.ts";

/** Posts JSON over kept-alive connections. Rejects on any answer but success. */
export function requester({
  url,
  anonKey,
  accessToken,
}: Served): (path: string, body: string) => Promise<void> {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const headers = {
    apikey: anonKey,
    authorization: `Bearer ${accessToken}`,
    "content-type": "application/json",
  };
  return (path, body) =>
    new Promise((resolve, reject) => {
      const sent = request(url + path, { agent, method: "POST", headers }, (response) => {
        const { statusCode = 0 } = response;
        let text = "";
        response.setEncoding("utf8");
        response.on("data", (part: string) => (text += part));
        response.once("error", reject);
        response.once("end", () => {
          if (statusCode < 300) resolve();
          else reject(new Error(`POST ${path}: ${statusCode} ${text.slice(0, 500)}`));
        });
      });
      sent.once("error", reject);
      sent.end(body);
    });
}
