// A stream of a provider over stdio that was cut is taken up again, with every byte that the client has missed.
import { expect, test } from "bun:test";
import { join } from "node:path";
import { McpSession, messagesOf } from "../../kit/mcp-session.ts";
import { McpWorld, rpc } from "../../kit/mcp-world.ts";

test("events that were sent once are sent again, whatever their size", async () => {
  await using world = new McpWorld();
  const stdioArgs = [join(import.meta.dir, "../../kit/mcp-raw.ts")];
  const provider = { transportOrder: ["stdio"] as const, stdioCommand: process.execPath, stdioArgs };
  await world.relay({ url: "http://127.0.0.1:1/" }, { provider });
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
