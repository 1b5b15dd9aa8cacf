import { expect, test } from "vitest";
import { complaints } from "./report.ts";
import { fuzz } from "./run.ts";

test("a server under attack goes on, leaves nothing behind, and disturbs nobody else", async () => {
  const seed = Date.now() % 2 ** 32;
  console.info(`npm run fuzz:realtime -- --frames 20000 --seed ${seed}`);
  const answer = await fuzz({ frames: 20_000, seed });
  expect(complaints(answer), `seed ${seed}`).toEqual([]);
  expect(answer.after).toMatchObject({ sockets: 2, channels: 2 });
  expect(answer.after.framesIn).toBeGreaterThan(15_000); // what was sent was also read
  expect(answer.after.joinsAccepted).toBeGreaterThan(100);
  expect(answer.meetings).toBeGreaterThan(0);
});
