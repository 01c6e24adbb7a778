// The official SDK's client and server do through a relay what they do without one.
import { expect, test } from "bun:test";
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import type { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import {
  CallToolResultSchema,
  CreateMessageRequestSchema,
  CreateMessageResultSchema,
  ElicitRequestSchema,
  ElicitResultSchema,
  ListRootsRequestSchema,
  ListRootsResultSchema,
  LoggingMessageNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";
import { connectClient, SdkServer } from "../../kit/mcp/sdk.ts";
import { McpWorld } from "../../kit/mcp/world.ts";
import { Gate } from "../../kit/time/gate.ts";
import { Changes, until } from "../../kit/time/until.ts";

const said = (text: string): { content: { type: "text"; text: string }[] } => ({ content: [{ type: "text", text }] });

/** Servers, relays and clients around one server that the test builds. */
async function around(build: (server: McpServer) => void, options: { resumable?: boolean; json?: boolean } = {}) {
  const server = await SdkServer.start({ build, ...options });
  const world = new McpWorld();
  await world.relay(server);
  return {
    server,
    world,
    async [Symbol.asyncDispose]() {
      await world[Symbol.asyncDispose]();
      await server[Symbol.asyncDispose]();
    },
  };
}

const text = (result: Awaited<ReturnType<Client["callTool"]>>): unknown =>
  CallToolResultSchema.parse(result).content[0];

for (const json of [false, true]) {
  test(`tools, resources and prompts, answered ${json ? "as JSON" : "as events"}`, async () => {
    await using all = await around(
      server => {
        server.registerTool("add", { inputSchema: { a: z.number(), b: z.number() } }, ({ a, b }) => said(`${a + b}`));
        server.registerResource("r", "test://r", {}, uri => ({ contents: [{ uri: uri.href, text: "content" }] }));
        server.registerPrompt("p", { argsSchema: { who: z.string() } }, ({ who }) => ({
          messages: [{ role: "user", content: { type: "text", text: `hello ${who}` } }],
        }));
      },
      { json },
    );
    const { client, transport } = await connectClient(all.world.url());
    expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["add"]);
    const results = await Promise.all(
      Array.from({ length: 10 }, (_, a) => client.callTool({ name: "add", arguments: { a, b: 1 } })),
    );
    expect(results.map(text)).toEqual(results.map((_, a) => ({ type: "text", text: `${a + 1}` })));
    expect((await client.readResource({ uri: "test://r" })).contents).toEqual([{ uri: "test://r", text: "content" }]);
    expect((await client.getPrompt({ name: "p", arguments: { who: "you" } })).messages[0]?.content).toEqual({
      type: "text",
      text: "hello you",
    });
    await expect(client.callTool({ name: "none" })).resolves.toMatchObject({ isError: true });
    await transport.terminateSession();
    expect(all.server.ended).toBe(1);
    expect(all.world.relays.sessions.size).toBe(0);
    await client.close();
    expect(await all.world.leftovers()).toEqual({});
  });
}

test("a tool asks its client: sampling, elicitation, roots", async () => {
  await using all = await around(server => {
    server.registerTool("ask", {}, async extra => {
      const sampled = await extra.sendRequest(
        {
          method: "sampling/createMessage",
          params: { messages: [{ role: "user", content: { type: "text", text: "q" } }], maxTokens: 10 },
        },
        CreateMessageResultSchema,
      );
      const elicited = await extra.sendRequest(
        {
          method: "elicitation/create",
          params: { message: "name?", requestedSchema: { type: "object", properties: { name: { type: "string" } } } },
        },
        ElicitResultSchema,
      );
      const { roots } = await extra.sendRequest({ method: "roots/list" }, ListRootsResultSchema);
      return said(JSON.stringify([sampled.content, elicited.content, roots]));
    });
  });
  const { client } = await connectClient(all.world.url(), {
    capabilities: { sampling: {}, elicitation: {}, roots: {} },
    prepare(client) {
      client.setRequestHandler(CreateMessageRequestSchema, () => ({
        role: "assistant",
        model: "m",
        content: { type: "text", text: "sampled" },
      }));
      client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "Ada" } }));
      client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: "file:///home" }] }));
    },
  });
  const result = await client.callTool({ name: "ask" });
  expect(text(result)).toEqual({
    type: "text",
    text: JSON.stringify([{ type: "text", text: "sampled" }, { name: "Ada" }, [{ uri: "file:///home" }]]),
  });
  await client.close();
  expect(await all.world.leftovers()).toEqual({});
});

test("a server asks and tells without being called, over the stream of who listens", async () => {
  await using all = await around(server => {
    server.registerTool("one", {}, () => said("1"));
  });
  const changes = new Changes();
  const heard: string[] = [];
  const { client } = await connectClient(all.world.url(), {
    capabilities: { roots: {} },
    prepare(client) {
      client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: "file:///far" }] }));
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
        heard.push("changed");
        changes.notify();
      });
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
        heard.push(String(params.data));
        changes.notify();
      });
    },
  });
  await all.server.when(() => all.server.listening === 1, "the client listens");
  expect((await all.server.only.server.listRoots()).roots).toEqual([{ uri: "file:///far" }]);
  await all.server.only.sendLoggingMessage({ level: "info", data: "hello" });
  all.server.only.registerTool("two", {}, () => said("2"));
  await changes.when(() => heard.length >= 2, "both are heard");
  expect(heard).toEqual(["hello", "changed"]);
  expect((await client.listTools()).tools.map(({ name }) => name)).toEqual(["one", "two"]);
  await client.close();
  expect(await all.world.leftovers()).toEqual({});
});

test("progress comes while the tool works", async () => {
  const gate = new Gate();
  await using all = await around(server => {
    server.registerTool("slow", {}, async extra => {
      const progressToken = extra._meta?.progressToken ?? 0;
      for (let progress = 1; progress <= 5; progress++) {
        await gate.wait();
        await extra.sendNotification({
          method: "notifications/progress",
          params: { progressToken, progress, total: 5 },
        });
      }
      await gate.wait();
      return said("done");
    });
  });
  const { client } = await connectClient(all.world.url());
  const changes = new Changes();
  const seen: number[] = [];
  const running = client.callTool({ name: "slow" }, undefined, {
    onprogress({ progress }) {
      seen.push(progress);
      changes.notify();
    },
  });
  for (let n = 1; n <= 5; n++) {
    gate.release();
    await changes.when(() => seen.length === n, `progress ${n}`);
  }
  gate.release();
  expect(text(await running)).toEqual({ type: "text", text: "done" });
  expect(seen).toEqual([1, 2, 3, 4, 5]);
  await client.close();
  expect(await all.world.leftovers()).toEqual({});
});

test("a client that cancels its call is heard by the tool", async () => {
  const began = Promise.withResolvers<void>();
  const heard = Promise.withResolvers<unknown>();
  await using all = await around(server => {
    server.registerTool("long", {}, extra => {
      began.resolve();
      return new Promise((_, reject) => {
        extra.signal.addEventListener("abort", () => {
          heard.resolve(extra.signal.reason);
          reject(new Error("cancelled"));
        });
      });
    });
  });
  const { client } = await connectClient(all.world.url());
  const abort = new AbortController();
  const running = client.callTool({ name: "long" }, undefined, { signal: abort.signal });
  await began.promise;
  abort.abort("changed my mind");
  await expect(running).rejects.toThrow("changed my mind");
  expect(await until(heard.promise, "the tool's end")).toBe("changed my mind");
  await client.close();
  expect(await all.world.leftovers()).toEqual({});
});

test("what was missed while the stream was cut is resumed after the last event that was seen", async () => {
  const gate = new Gate();
  await using all = await around(
    server => {
      server.registerTool("steps", {}, async extra => {
        for (let n = 1; n <= 4; n++) {
          await gate.wait();
          await extra.sendNotification({
            method: "notifications/message",
            params: { level: "info", data: `step ${n}` },
          });
        }
        await gate.wait();
        return said("all steps");
      });
    },
    { resumable: true },
  );
  const changes = new Changes();
  const heard: string[] = [];
  const { client } = await connectClient(all.world.url(), {
    prepare(client) {
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
        heard.push(String(params.data));
        changes.notify();
      });
    },
  });
  let token: string | undefined;
  const running = client.callTool({ name: "steps" }, undefined, {
    onresumptiontoken(seen) {
      token = seen;
    },
  });
  gate.release(2);
  await changes.when(() => heard.length === 2, "two steps");
  expect(token).toBeDefined();
  // The relay loses its connection; client and server live on.
  const [worker] = all.world.relays.pool.registry.workers;
  worker?.upstream.close(4000, "lost");
  await all.world.runs[0];
  gate.release(1);
  await all.world.relay(all.server);
  gate.release(2);
  expect(text(await until(running, "the result"))).toEqual({ type: "text", text: "all steps" });
  expect(heard).toEqual(["step 1", "step 2", "step 3", "step 4"]);
  await client.close();
  expect(await all.world.leftovers()).toEqual({});
});
