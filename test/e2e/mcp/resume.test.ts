// A stream of a provider over stdio that was cut is taken up again, with every byte that the client has missed.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { McpSession, messagesOf } from "../../kit/mcp/session.ts";
import { McpWorld, rpc } from "../../kit/mcp/world.ts";

/** A relay for mcp-raw.ts. */
const stdio = {
  transportOrder: ["stdio"] as const,
  stdioCommand: process.execPath,
  stdioArgs: [join(import.meta.dir, "../../kit/mcp/raw.ts")],
};

test("a result between the limits of relay and broker is an error with its id, at once and when it is taken up again", async () => {
  await using world = new McpWorld();
  await world.relay({ url: "http://127.0.0.1:1/" }, { provider: stdio });
  const session = await McpSession.open(world.url());
  const error = { code: -32_000, message: expect.stringContaining("BROKER_MAX_RESP_BYTES") };
  const answer = await session.post(rpc("s", "big", { bytes: 12 * 1024 * 1024 })).answer();
  expect(answer.complete).toBeTrue();
  const text = answer.body.toString();
  expect(JSON.parse(text.slice(text.lastIndexOf("data: ") + 6))).toMatchObject({ id: "s", error });
  const [first] = /^id: (.+)$/m.exec(text)?.slice(1) ?? [];
  const again = (await session.listen(first).answer()).body.toString();
  expect(JSON.parse(again.slice(again.lastIndexOf("data: ") + 6))).toMatchObject({ id: "s", error });
  // The session goes on.
  expect(messagesOf(await session.post(rpc(2, "digits")).answer()).at(-1)?.id).toBe(2);
});

test("events that were sent once are sent again, whatever their size", async () => {
  await using world = new McpWorld();
  await world.relay({ url: "http://127.0.0.1:1/" }, { provider: stdio });
  const session = await McpSession.open(world.url());
  const texts = ["a", "b", "c"].map(letter => letter.repeat(100_000));
  const lines = texts.map(data =>
    JSON.stringify({ jsonrpc: "2.0", method: "notifications/message", params: { data } }),
  );
  const first = await session.post(rpc("s", "say", { lines })).answer();
  const ids = [...first.body.toString().matchAll(/^id: (.+)$/gm)].map(([, id]) => id);
  expect(ids).toHaveLength(5);
  for (const [at, id] of ids.slice(0, 4).entries()) {
    const again = await session.listen(id).answer();
    const messages = messagesOf(again);
    expect(messages.map(({ params }) => params?.["data"])).toEqual([...texts.slice(at), undefined]);
    expect(messages.at(-1)).toEqual(expect.objectContaining({ id: "s", result: {} }));
  }
});
