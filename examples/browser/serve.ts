import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { mintAgentToken } from "agent-federation";
import { bundlePage } from "./bundle.ts";

export interface PageOptions {
  /** SUPABASE_URL, SUPABASE_ANON_KEY and, to make tokens with, SUPABASE_JWT_SECRET. */
  readonly environment: Readonly<Record<string, string>>;
  readonly tenantId: string;
  readonly agentId: string;
  /** 0 for a free one. */
  readonly port: number;
}

export interface ServedPage {
  readonly url: string;
  close(): Promise<void>;
}

/** Serves the page on 127.0.0.1, with its settings and tokens for its agent. Who may ask for a token is your login's business. */
export async function servePage({ environment, tenantId, agentId, port }: PageOptions): Promise<ServedPage> {
  const {
    SUPABASE_URL: url = "",
    SUPABASE_ANON_KEY: anonKey = "",
    SUPABASE_JWT_SECRET: secret = "",
  } = environment;
  const script = await bundlePage();
  const html = await readFile(new URL("index.html", import.meta.url), "utf8");
  const answers: Readonly<Record<string, () => Promise<readonly [type: string, body: string]>>> = {
    "/": async () => ["text/html", html],
    "/page.js": async () => ["text/javascript", script],
    "/settings.json": async () => ["application/json", JSON.stringify({ url, anonKey, tenantId, agentId })],
    "/token": async () => [
      "text/plain",
      await mintAgentToken({ secret, tenantId, agentId, ttlSeconds: 600 }),
    ],
  };
  const server = createServer((request, response) => {
    const answer = answers[request.url ?? ""];
    if (answer === undefined) return void response.writeHead(404).end();
    answer().then(
      ([type, body]) =>
        response
          .writeHead(200, { "content-type": `${type}; charset=utf-8`, "cache-control": "no-store" })
          .end(body),
      (error: unknown) => response.writeHead(500).end(String(error)),
    );
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const listensOn = typeof address === "object" && address !== null ? address.port : port;
  return {
    url: `http://127.0.0.1:${listensOn}/`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}
