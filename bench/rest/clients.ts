import "../../examples/support/known-notice.ts";
import { Agent, request } from "node:http";
import { createClient, type WebSocketLikeConstructor } from "@supabase/supabase-js";
import WebSocket from "ws";
import type { Client, Operation } from "./cases.ts";
import type { Served } from "./serve.ts";

/** One request of a case. `index` counts from 0; rejects on any answer but success. */
export type Sender = (index: number) => Promise<void>;

/** Rows that are there before the measurement, numbered from 1: those that select, update and rpc touch. */
export const preparedNotes = 10_000;

export function senderOf(client: Client, operation: Operation, served: Served): Sender {
  return client === "supabase-js" ? bySupabaseJs(operation, served) : byNodeHttp(operation, served);
}

function bySupabaseJs(operation: Operation, { url, anonKey, accessToken }: Served): Sender {
  // supabase-js wants a WebSocket on Node 20 although nothing here opens one.
  const transport = WebSocket as unknown as WebSocketLikeConstructor; // same interface, other event types
  const supabase = createClient(url, anonKey, {
    accessToken: async () => accessToken,
    realtime: { transport },
  });
  const check = async (answer: PromiseLike<{ error: Error | null }>): Promise<void> => {
    const { error } = await answer;
    if (error !== null) throw error;
  };
  switch (operation) {
    case "insert":
      return (index) => check(supabase.from("notes").insert(note(index)));
    case "select":
      return (index) => check(supabase.from("notes").select("*").eq("id", spread(index)).single());
    case "update":
      return (index) => check(supabase.from("notes").update({ done: true }).eq("id", spread(index)));
    case "rpc":
      return (index) => check(supabase.rpc("finish_note", { note_id: spread(index) }));
    case "bulk insert":
      return () => check(supabase.from("notes").insert(noteBatch));
    case "bulk insert with vectors":
      return () => check(supabase.from("passages").insert(passageBatch));
  }
}

/** The same requests, as supabase-js words them, over kept-alive connections. */
function byNodeHttp(operation: Operation, { url, anonKey, accessToken }: Served): Sender {
  const agent = new Agent({ keepAlive: true, maxSockets: 64 });
  const headers = {
    apikey: anonKey,
    authorization: `Bearer ${accessToken}`,
    "content-type": "application/json",
  };
  const send = (method: string, path: string, body?: unknown): Promise<void> =>
    new Promise((resolve, reject) => {
      const sent = request(`${url}/rest/v1/${path}`, { agent, method, headers }, (response) => {
        response.resume();
        response.once("error", reject);
        response.once("end", () => {
          const { statusCode = 0 } = response;
          if (statusCode < 300) resolve();
          else reject(new Error(`${method} ${path}: ${statusCode}`));
        });
      });
      sent.once("error", reject);
      sent.end(body === undefined ? undefined : JSON.stringify(body));
    });
  switch (operation) {
    case "insert":
      return (index) => send("POST", "notes", note(index));
    case "select":
      return (index) => send("GET", `notes?select=*&id=eq.${spread(index)}`);
    case "update":
      return (index) => send("PATCH", `notes?id=eq.${spread(index)}`, { done: true });
    case "rpc":
      return (index) => send("POST", "rpc/finish_note", { note_id: spread(index) });
    case "bulk insert":
      return () => send("POST", "notes", noteBatch);
    case "bulk insert with vectors":
      return () => send("POST", "passages", passageBatch);
  }
}

export function note(index: number): { readonly title: string; readonly position: number } {
  return { title: `Note ${index}: something to remember`, position: index };
}

/** Ids in an order without runs, the same in every run. */
function spread(index: number): number {
  return 1 + ((index * 7_919) % preparedNotes);
}

export const noteBatch = Array.from({ length: 1_000 }, (_, index) => note(index));

/** Numbers as an embedding model gives them; which ones does not matter without an index. */
const passageBatch = Array.from({ length: 1_000 }, (_, row) => ({
  content: `Passage ${row}`,
  embedding: Array.from({ length: 384 }, (_, column) =>
    Number((Math.sin(row * 384 + column) * 0.1).toFixed(6)),
  ),
}));
