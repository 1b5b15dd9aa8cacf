import { randomUUID } from "node:crypto";
import pg from "pg";
import type { Row } from "./cases.ts";
import { flooded, openHub, paced, perSecond, rowOf, tenant, type Place } from "./place.ts";

/** What runs for the first time is slow: the code of the embedded Postgres is optimized while it is used. */
const warmUp = 1_000;

/** Durable messages: paced, as many as go, and those that SQL sends. */
export async function measureMessages(place: Place): Promise<Row[]> {
  const ms = 3_000 * place.scale;
  const receiver = await openHub(place, "receiver");
  const senders = await Promise.all(Array.from({ length: 8 }, (_, i) => openHub(place, `sender-${i}`)));
  const [sender] = senders;
  if (sender === undefined) throw new RangeError("no sender");
  const sentMs = new Map<number, number>();
  const samples: number[] = [];
  let [heard, wanted] = [0, Infinity];
  let done = (): void => {};
  receiver.on("message:note", ({ payload }) => {
    const { n } = payload as { n: number }; // ours
    const at = sentMs.get(n);
    if (at !== undefined) samples.push(performance.now() - at);
    if (++heard === wanted) done();
  });
  let next = 0;
  /** Sends by `send`, and waits until the handler has had all of it. */
  const measured = async (run: (note: () => { n: number }) => Promise<number>): Promise<number[]> => {
    samples.length = 0;
    [heard, wanted] = [0, Infinity];
    const allHeard = new Promise<void>((resolve) => (done = resolve));
    const count = await run(() => {
      sentMs.set(++next, performance.now());
      return { n: next };
    });
    wanted = count;
    if (heard < count) await allHeard;
    return [...samples];
  };

  await measured(async (note) => {
    for (let i = 0; i < warmUp; i++) await sender.sendMessage("receiver", "note", note());
    return warmUp;
  });
  const rows: Row[] = [];
  const steady = await measured(async (note) => {
    let count = 0;
    await paced(100, ms, () => {
      count++;
      return sender.sendMessage("receiver", "note", note());
    });
    return count;
  });
  rows.push(
    rowOf("durable messages, 100/s: send to handler", steady, { note: `after ${warmUp} to warm up` }),
  );

  const startMs = performance.now();
  const flood = await measured(async (note) => {
    const { count } = await flooded(32, ms, (_, lane) =>
      (senders[lane % senders.length] ?? sender).sendMessage("receiver", "note", note()),
    );
    return count;
  });
  const floodMs = performance.now() - startMs;
  rows.push(
    rowOf("durable messages, 8 senders, 32 under way", flood, {
      perSecond: perSecond(flood.length, floodMs),
    }),
  );

  const sql = await sqlSender(place);
  try {
    await measured(async (note) => {
      for (let i = 0; i < 10; i++) await sql.send(note());
      return 10;
    });
    const bySql = await measured(async (note) => {
      let count = 0;
      await paced(100, ms, () => {
        count++;
        return sql.send(note());
      });
      return count;
    });
    rows.push(rowOf(`SQL send_message (${sql.how}), 100/s: call to handler`, bySql));
  } finally {
    await sql.close();
  }
  return rows;
}

interface SqlSender {
  readonly how: string;
  send(payload: object): Promise<unknown>;
  close(): Promise<void>;
}

/** A plain SQL session where there can be one, else the function by its REST door. */
async function sqlSender({ databaseUrl, supabase }: Place): Promise<SqlSender> {
  const named = (payload: object): object => ({
    id: randomUUID(),
    to_agent: "receiver",
    type: "note",
    payload,
    as_agent: "sql",
    as_tenant: tenant,
  });
  if (databaseUrl !== undefined) {
    const pool = new pg.Pool({ connectionString: databaseUrl, max: 4 });
    const statement =
      "select public.send_message($1, 'receiver', 'note', $2::jsonb, as_agent => 'sql', as_tenant => $3)";
    return {
      how: "a plain session",
      send: (payload) => pool.query(statement, [randomUUID(), JSON.stringify(payload), tenant]),
      close: () => pool.end(),
    };
  }
  return {
    how: "rpc",
    send: (payload) => rpc(supabase, "send_message", named(payload)),
    close: async () => {},
  };
}

/** Calls a function as the service role. */
export async function rpc(
  { url, serviceRoleKey }: Pick<Place["supabase"], "url" | "serviceRoleKey">,
  name: string,
  args: object,
): Promise<unknown> {
  const answer = await fetch(`${url}/rest/v1/rpc/${name}`, {
    method: "POST",
    headers: {
      apikey: serviceRoleKey,
      authorization: `Bearer ${serviceRoleKey}`,
      "content-type": "application/json",
    },
    body: JSON.stringify(args),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`${name}: ${answer.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}
