import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { openTestDatabase } from "../../../../../test-support/database.ts";
import type { Database } from "../../database/database.ts";
import { createKeyring } from "../../keys/create-keyring.ts";
import type { Keyring } from "../../keys/credential.ts";
import { createRealtime } from "../create-realtime.ts";
import type { Realtime, RealtimeClock } from "../realtime.ts";
import type { RealtimeSettings } from "../settings.ts";
import { rowTables } from "./row-tables.ts";
import { systemClock } from "../system-clock.ts";

export const jwtSecret = "super-secret-jwt-token-with-at-least-32-characters-long";

export interface TestServer {
  /** What supabase-js takes as its URL; only Realtime answers there. */
  readonly url: string;
  readonly keyring: Keyring;
  readonly database: Database;
  readonly realtime: Realtime;
  readonly log: readonly { level: string; message: string; fields?: Record<string, unknown> | undefined }[];
  /** Closes Realtime and HTTP; the database stays, it is the caller's. */
  close(): Promise<void>;
}

export interface TestServerOptions {
  readonly database: Database;
  readonly clock?: RealtimeClock;
  readonly settings?: Partial<RealtimeSettings>;
  /** Default 0: any free one. */
  readonly port?: number;
  /** Puts something before the real keyring, to make it fail. */
  readonly wrapKeyring?: (keyring: Keyring) => Keyring;
}

/** The Realtime server on a real database, behind a plain HTTP server. */
export async function startTestServer({
  database,
  clock = systemClock,
  settings,
  port = 0,
  wrapKeyring = (keyring) => keyring,
}: TestServerOptions): Promise<TestServer> {
  const keyring = wrapKeyring(await createKeyring({ jwtSecret, now: () => clock.now() }));
  const log: { level: string; message: string; fields?: Record<string, unknown> | undefined }[] = [];
  const realtime = await createRealtime({
    database,
    keyring,
    clock,
    log: (level, message, fields) => void log.push({ level, message, fields }),
    ...(settings === undefined ? {} : { settings }),
  });
  const http = createServer((request, response) => {
    const path = new URL(request.url ?? "/", "http://localhost").pathname;
    void realtime.answer(request, response, path.replace("/realtime/v1/api", ""));
  });
  http.on("upgrade", (request, socket, head) => realtime.upgrade(request, socket, head));
  const url = await listen(http, port);
  return {
    url,
    keyring,
    database,
    realtime,
    log,
    async close() {
      await realtime.close();
      http.closeAllConnections();
      await new Promise((resolve) => http.close(resolve));
    },
  };
}

/** The policies of the topics that the tests speak on, for a database of their own. */
export async function openRealtimeDatabase(): Promise<Database> {
  const database = await openTestDatabase();
  await database.exec(policies);
  await database.exec(rowTables);
  return database;
}

const policies = `
  create policy full_read on realtime.messages for select to authenticated using (realtime.topic() like 'room:%');
  create policy full_write on realtime.messages for insert to authenticated with check (realtime.topic() like 'room:%');
  create policy read_only on realtime.messages for select to authenticated using (realtime.topic() like 'ro:%');
  create policy write_only on realtime.messages for insert to authenticated with check (realtime.topic() like 'wo:%');
  create policy broadcast_read on realtime.messages for select to authenticated
    using (realtime.topic() like 'bonly:%' and extension = 'broadcast');
  create policy broadcast_write on realtime.messages for insert to authenticated
    with check (realtime.topic() like 'bonly:%' and extension = 'broadcast');
  create policy presence_read on realtime.messages for select to authenticated
    using (realtime.topic() like 'ponly:%' and extension = 'presence');
  create policy presence_write on realtime.messages for insert to authenticated
    with check (realtime.topic() like 'ponly:%' and extension = 'presence');
  create policy own_read on realtime.messages for select to authenticated
    using (realtime.topic() = 'user:' || (auth.jwt() ->> 'sub'));
  create policy own_write on realtime.messages for insert to authenticated
    with check (realtime.topic() = 'user:' || (auth.jwt() ->> 'sub'));
  create policy anon_read on realtime.messages for select to anon using (realtime.topic() like 'anon:%');
  create policy anon_write on realtime.messages for insert to anon with check (realtime.topic() like 'anon:%');

  create table public.posts (id serial primary key, title text, author uuid);
  create function public.announce_post() returns trigger language plpgsql security definer as $$
  begin
    perform realtime.broadcast_changes('room:posts', tg_op, tg_op, tg_table_name, tg_table_schema, new, old);
    return null;
  end $$;
  create trigger announce_post after insert or update or delete on public.posts
    for each row execute function public.announce_post();
`;

async function listen(http: Server, port: number): Promise<string> {
  await new Promise<void>((resolve) => http.listen(port, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(http.address() as AddressInfo).port}`; // it listens on TCP, so the address is an object
}
