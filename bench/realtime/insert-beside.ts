import { requester } from "./http.ts";
import type { Served } from "./serve.ts";

/** Inserts `rows` rows in one request, again and again, until the function is called that it resolves to. */
export async function keepInserting(served: Served, rows: number): Promise<() => Promise<void>> {
  const request = requester(served);
  const body = JSON.stringify(
    Array.from({ length: rows }, (_, index) => ({
      title: `Note ${index}: something to remember`,
      position: index,
    })),
  );
  const insert = (): Promise<void> => request("/rest/v1/notes", body);
  await insert();
  let isStopped = false;
  const inserting = (async () => {
    while (!isStopped) await insert();
  })();
  inserting.catch(() => {}); // told by the function below
  return async () => {
    isStopped = true;
    await inserting;
  };
}
