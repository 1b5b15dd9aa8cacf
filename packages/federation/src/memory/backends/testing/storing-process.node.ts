/** Stores memories one after the other until it is killed, and says the id of each when its call has resolved. */
import { createSupabaseAdapter } from "../../../supabase-adapter.ts";

const [tenant = "", dataDir = "", url = "", anonKey = "", jwtSecret = ""] = process.argv.slice(2);
const adapter = createSupabaseAdapter({
  url,
  anonKey,
  jwtSecret,
  vectorBackend: "hybrid",
  agentId: "ann",
  dataDir,
});
for (let number = 0; ; number++) {
  const id = `m${number % 500}`;
  const memory = { id, tenant_id: tenant, agent_id: "ann", content: `${number}`, embedding: [1, number] };
  const isDelete = number >= 500 && number % 7 === 3;
  if (isDelete) await adapter.deleteMemory(id, tenant);
  else await adapter.storeMemory(memory);
  process.stdout.write(`${id} ${isDelete ? "-" : number}\n`);
}
