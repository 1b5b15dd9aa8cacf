import { Duplex } from "node:stream";
import fc from "fast-check";
import { expect, test } from "vitest";
import { Outbox } from "./outbox.ts";

/** A socket whose peer reads when it is told to. */
function slowSocket(): { socket: Duplex; written: Buffer[]; read: () => void } {
  const written: Buffer[] = [];
  let done: (() => void) | undefined;
  const socket = new Duplex({
    writableHighWaterMark: 10,
    read: () => {},
    write: (chunk: Buffer, _encoding, callback) => {
      written.push(chunk);
      done = callback;
    },
  });
  const read = (): void => {
    const callback = done;
    done = undefined;
    callback?.();
  };
  return { socket, written, read };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

test("what is said in one turn is one write", async () => {
  const { socket, written } = slowSocket();
  const outbox = new Outbox(socket, 1_000, () => {});
  for (const text of ["a", "b", "c"]) outbox.send(Buffer.from(text));
  await turn();
  expect(written.map(String)).toEqual(["abc"]);
});

test("frames come whole and in order, however slowly they are read", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.constantFrom("send", "read", "turn"), { maxLength: 60 }), async (steps) => {
      const { socket, written, read } = slowSocket();
      const outbox = new Outbox(socket, 1_000_000, () => {});
      let sent = "";
      for (const [n, step] of steps.entries()) {
        if (step === "send") {
          outbox.send(Buffer.from(`<frame ${n}>`));
          sent += `<frame ${n}>`;
        } else if (step === "read") read();
        else await turn();
      }
      outbox.shut();
      while (written.join("") !== sent) {
        read();
        await turn();
      }
    }),
  );
});

test("what waits is bounded and let go of when it is too much, and nothing comes after", async () => {
  const { socket, written, read } = slowSocket();
  let overflows = 0;
  const outbox = new Outbox(socket, 100, () => overflows++);
  const frame = Buffer.alloc(30, "x");
  outbox.send(frame);
  await turn();
  for (let n = 0; n < 10; n++) outbox.send(frame);
  expect(overflows).toBe(1);
  outbox.shut();
  read();
  await turn();
  expect(written).toHaveLength(1); // what the socket had already
  expect(socket.writableLength).toBe(0);
});

test("a single frame larger than the bound is sent", async () => {
  const { socket, written } = slowSocket();
  const outbox = new Outbox(socket, 100, () => expect.unreachable("it fits"));
  outbox.send(Buffer.alloc(10_000));
  await turn();
  expect(written.map(({ length }) => length)).toEqual([10_000]);
});
