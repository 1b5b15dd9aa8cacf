import { expect, test } from "vitest";
import { createKeyring } from "../../keys/create-keyring.ts";
import { defaultSettings } from "../settings.ts";
import { TestClock } from "../testing/test-clock.ts";
import { jwtSecret } from "../testing/test-server.ts";
import { TokenWatch } from "./token-watch.ts";

const startMs = Date.UTC(2026, 0, 1);

/** A watch over a token that ends after `seconds`, and what it said. */
async function watch(seconds: number) {
  const clock = new TestClock(startMs);
  const keyring = await createKeyring({ jwtSecret, now: () => clock.now() });
  const mint = (lifeSeconds: number, sub: string): Promise<string> =>
    keyring.mint({ sub, exp: Math.floor(clock.now() / 1000) + lifeSeconds });
  const token = await mint(seconds, "first");
  const verified = await keyring.verify(token);
  if (!("credential" in verified)) throw new Error("the first token is no good");
  const said: string[] = [];
  let applied: Promise<void> = Promise.resolve();
  const tokens = new TokenWatch(
    { token, credential: verified.credential },
    { clock, keyring, settings: defaultSettings },
    {
      expired: () => void said.push("expired"),
      apply: (run) => void (applied = run()),
      refused: (text) => void said.push(text),
      accepted: async ({ claims }) => void said.push(`accepted ${String(claims["sub"])}`),
    },
  );
  return { clock, tokens, token, said, mint, applied: () => applied };
}

test("a token ends when it ends", async () => {
  const { clock, said } = await watch(60);
  clock.advance(59_000);
  expect(said).toEqual([]);
  clock.advance(1_000);
  expect(said).toContain("expired");
});

test("a new token counts from then on, and the next one waits until the throttle allows it", async () => {
  const { clock, tokens, said, mint, applied } = await watch(60);
  await tokens.offer({ access_token: await mint(120, "second") });
  expect(said).toEqual(["accepted second"]);
  await tokens.offer({ access_token: await mint(600, "third") });
  expect(said).toEqual(["accepted second"]);
  clock.advance(defaultSettings.accessTokenThrottleMs);
  await applied();
  expect(said).toEqual(["accepted second", "accepted third"]);
  clock.advance(599_000 - defaultSettings.accessTokenThrottleMs);
  expect(said).toHaveLength(2);
});

test("the token in use, offered again within the throttle, does not outlive its end", async () => {
  const { clock, tokens, said, mint, applied } = await watch(600);
  const second = await mint(5, "second");
  await tokens.offer({ access_token: second });
  await tokens.offer({ access_token: await mint(600, "held") });
  await tokens.offer({ access_token: second }); // the last one wins, and it is the one in use
  clock.advance(5_000);
  await applied();
  expect(said[0]).toBe("accepted second");
  expect(said).toContain("expired");
  expect(said).not.toContain("accepted held");
});

test("what is no token changes nothing", async () => {
  const { tokens, said, token } = await watch(60);
  for (const payload of [
    null,
    {},
    { access_token: 1 },
    { access_token: "sb_publishable_x" },
    { access_token: token },
  ])
    await tokens.offer(payload);
  expect(said).toEqual([]);
  await tokens.offer({ access_token: "nonsense" });
  expect(said).toHaveLength(1);
});
