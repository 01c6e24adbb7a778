// MCP_SHARED: one program for all sessions, and for calls that need none.
import { expect, test } from "bun:test";
import { answerOf, Events, listen, openSession, post, rpc } from "../../../kit/mcp/http.ts";
import { callText, connect, reach, URL_OF_PROVIDER } from "../../../kit/mcp/provider.ts";

test("one process serves all sessions and calls without one, each with its own ids and progress", async () => {
  await using server = reach("fixture", { shared: true });
  await server.provider.probe(new AbortController().signal);
  const [one, two] = [await connect(server), await connect(server)];
  const pid = await callText(one, "pid");
  expect(await callText(two, "pid")).toBe(pid);
  const alone = await answerOf(await post(server, rpc(1, "tools/call", { name: "pid", arguments: {} })));
  expect(JSON.stringify(alone)).toContain(pid);
  expect([server.provider.sessions, server.provider.servers]).toEqual([2, 1]);
  const heard = await Promise.all(
    [one, two].map(async (client, at) => {
      const progress: number[] = [];
      const params = { name: "count", arguments: { to: 3 + at } };
      await client.callTool(params, undefined, { onprogress: ({ progress: now }) => progress.push(now) });
      return progress;
    }),
  );
  expect(heard).toEqual([
    [1, 2, 3],
    [1, 2, 3, 4],
  ]);
  await one.close();
  await two.close();
});

test("a session that ends leaves the others their process, and its calls are cancelled", async () => {
  await using server = reach("fixture", { shared: true, sessionlessCompat: false });
  const [one, two] = [await openSession(server), await openSession(server, "2024-11-05")];
  const wait = rpc(7, "tools/call", { name: "wait", arguments: {}, _meta: { progressToken: 1 } });
  const events = new Events(await post(server, wait, one));
  await events.next();
  const open = new Events(await listen(server, two));
  await server.fetch(URL_OF_PROVIDER, { method: "DELETE", headers: one });
  const cancelled = await answerOf(await post(server, rpc(7, "tools/call", { name: "cancelled", arguments: {} }), two));
  expect(cancelled).toMatchObject({ id: 7, result: { content: [{ text: "1" }] } });
  expect([server.provider.sessions, server.provider.servers]).toEqual([1, 1]);
  await answerOf(await post(server, rpc(8, "tools/call", { name: "die", arguments: {} }), two));
  expect(await open.next()).toBeUndefined();
  expect(server.provider.sessions).toBe(0);
});
