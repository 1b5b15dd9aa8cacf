/** A hybrid adapter in a process that can be killed: does what its lines say, and says what came of it. */
import { createInterface } from "node:readline";
import { isFederationError } from "../../../../runtime/errors.ts";
import { createSupabaseAdapter, type SupabaseFederationAdapter } from "../../../../supabase-adapter.ts";
import { writeAtOnce } from "../../../testing/write-at-once.node.ts";
import { parseExportLine } from "../../../transfer/memory-line.ts";
import type { Command, MachineOrders, Said, Shown, ShownRow } from "./machine-lines.ts";

let orders: MachineOrders;
let adapter: SupabaseFederationAdapter;
let isOpen = false;

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line) as Command; // of the world that started this
  const done = obey(command).catch((error: unknown): Said => {
    const why = isFederationError(error) ? error.code : String(error);
    return { didNot: command.n, why };
  });
  const said = done.then(say);
  if (command.does === "open") await said;
}
await adapter!.shutdown();

async function obey(command: Command): Promise<Said> {
  const { n } = command;
  switch (command.does) {
    case "open":
      await open(command.orders);
      return { did: n };
    case "write":
      return await write(command);
    case "sync":
      await adapter.sync({ tenant: orders.tenant });
      return { did: n };
    case "retry dead letters":
      for (const { place } of await adapter.deadLetters(orders.tenant))
        await adapter.retryDeadLetter(orders.tenant, place);
      return { did: n };
    case "show":
      return { did: n, shown: await show() };
  }
}

async function open(given: MachineOrders): Promise<void> {
  if (isOpen) await adapter.shutdown();
  orders = given;
  const { url, anonKey, accessToken, agent, tenant, dataDir } = given;
  adapter = createSupabaseAdapter({
    url,
    anonKey,
    accessToken,
    agentId: agent,
    dataDir,
    vectorBackend: "hybrid",
    requestTimeoutMs: 10_000,
    fetch: (input, init) => {
      noteSent(init?.body);
      return fetch(input, init);
    },
  });
  isOpen = true;
  adapter.subscribeToMemories(tenant, ({ id, version, content }) => say({ told: { id, version, content } }));
  await adapter.queryMemories(tenant); // opens the store
}

async function write({ n, id, kind, content }: Extract<Command, { does: "write" }>): Promise<Said> {
  const { tenant, agent } = orders;
  if (kind === "delete")
    return (await adapter.deleteMemory(id, tenant, { agent }))
      ? { did: n }
      : { didNot: n, why: "nothing there" };
  const scope = kind === "private" ? "agent" : "tenant";
  const stored = await adapter.storeMemory({ id, tenant_id: tenant, agent_id: agent, content, scope });
  return { did: n, updatedAt: stored.updated_at };
}

function noteSent(body: unknown): void {
  if (typeof body !== "string" || !body.startsWith('{"memories":')) return;
  const { memories } = JSON.parse(body) as {
    memories: { id: string; content?: string; hlc: ShownRow["hlc"] }[];
  };
  say({ sends: memories.map(({ id, content = "", hlc }) => ({ id, content, hlc })) });
}

/** Everything here, by an export. */
async function show(): Promise<Shown> {
  const { tenant } = orders;
  const rows: ShownRow[] = [];
  for await (const text of adapter.exportMemories({ tenant, deleted: true })) {
    const line = await parseExportLine(text);
    if (line.kind !== "memory" || line.memory.hlc === undefined) continue;
    const { id, agent_id, version, scope, content, deleted_at, hlc } = line.memory;
    rows.push({ id, agent_id, version, scope, content, isDeleted: deleted_at != null, hlc });
  }
  const letters = await adapter.deadLetters(tenant);
  const refused = letters.map(({ id, memory }) => ({ id, content: memory?.content }));
  return { rows, pending: adapter.syncState?.pending ?? 0, refused };
}

function say(said: Said): void {
  writeAtOnce(`${JSON.stringify(said)}\n`);
}
