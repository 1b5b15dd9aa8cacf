import { expect, test } from "vitest";
import { openStack } from "./open-stack.ts";

const taken = (...ports: number[]) => {
  const asked: number[] = [];
  const open = async (port: number): Promise<string> => {
    asked.push(port);
    if (ports.includes(port)) throw Object.assign(new Error(`port ${port} is taken`), { code: "port-taken" });
    return `on ${port}`;
  };
  return { asked, open };
};

test("the usual port, without a word", async () => {
  expect(await openStack({ port: undefined }, taken().open)).toEqual({
    supabase: "on 54321",
    note: undefined,
  });
});

test("the next free port where the usual one is taken, with a note", async () => {
  const opened = await openStack({ port: undefined }, taken(54_321, 54_322).open);
  expect(opened).toEqual({ supabase: "on 54323", note: "Port 54321 is taken; this one listens on 54323." });
});

test("a port that was asked for is not replaced by another", async () => {
  const { asked, open } = taken(8000);
  await expect(openStack({ port: 8000 }, open)).rejects.toThrow("port 8000 is taken");
  expect(asked).toEqual([8000]);
});

test("any other failure ends the search, and so do twenty taken ports", async () => {
  const refuse = async (): Promise<string> => Promise.reject(new Error("no disk"));
  await expect(openStack({ port: undefined }, refuse)).rejects.toThrow("no disk");
  const full = taken(...Array.from({ length: 100 }, (_, index) => 54_321 + index));
  await expect(openStack({ port: undefined }, full.open)).rejects.toThrow("is taken");
  expect(full.asked).toHaveLength(21);
});
