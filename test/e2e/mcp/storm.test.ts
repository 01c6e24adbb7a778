// Many at once: nobody hears what another is told, and nothing is left when they have gone, however they went.
import { expect, test } from "bun:test";
import { CreateMessageResultSchema } from "@modelcontextprotocol/sdk/types.js";
import { z } from "zod";
import { bytes, cut, headThenSilent, type Respond, silent, status } from "../../kit/backend/backend.ts";
import { randomness, turns } from "../../kit/load/storm.ts";
import { SdkServer } from "../../kit/mcp/sdk.ts";
import { headerOf, McpWorld, rpc } from "../../kit/mcp/world.ts";
import { Gate } from "../../kit/time/gate.ts";

const EVENTS = { "content-type": "text/event-stream" };

/** The message of an event with data. */
const rpcMessage = z.looseObject({
  id: z.number().optional(),
  params: z
    .looseObject({ messages: z.array(z.object({ content: z.object({ text: z.string() }) })).optional() })
    .optional(),
  result: z.looseObject({ content: z.array(z.object({ text: z.string() })) }).optional(),
});

const messagesIn = (text: string): z.infer<typeof rpcMessage>[] =>
  [...text.matchAll(/^data: (\{.*\})$/gm)].map(([, data = ""]) => rpcMessage.parse(JSON.parse(data)));

test("50 sessions with the same ids, whose tools ask their clients at the same time", async () => {
  await using server = await SdkServer.start({
    build(mcp) {
      mcp.registerTool("ask", { inputSchema: { secret: z.string() } }, async ({ secret }, extra) => {
        const { content } = await extra.sendRequest(
          {
            method: "sampling/createMessage",
            params: { messages: [{ role: "user", content: { type: "text", text: secret } }], maxTokens: 1 },
          },
          CreateMessageResultSchema,
        );
        const answer = Array.isArray(content) || content.type !== "text" ? "" : content.text;
        return { content: [{ type: "text", text: `${secret} was answered ${answer}` }] };
      });
    },
  });
  await using world = new McpWorld({ relays: { maxConcurrencyPerClient: 50 } });
  await world.relay(server);

  const one = async (n: number): Promise<void> => {
    const begun = await world.call(
      rpc(0, "initialize", {
        protocolVersion: "2025-11-25",
        capabilities: { sampling: {} },
        clientInfo: { name: `c${n}`, version: "1" },
      }),
    );
    const headers = {
      "Mcp-Session-Id": headerOf(begun, "mcp-session-id") ?? "",
      "MCP-Protocol-Version": "2025-11-25",
    };
    const post = (body: string) => world.call(body, { headers });
    expect((await post('{"jsonrpc":"2.0","method":"notifications/initialized"}')).status).toBe(202);
    for (let round = 0; round < 3; round++) {
      const secret = `secret of ${n} in ${round}`;
      const running = world.ask({ body: rpc(1, "tools/call", { name: "ask", arguments: { secret } }), headers });
      await running.shows("sampling/createMessage");
      const [asked] = messagesIn(running.text);
      expect(asked?.params?.messages?.map(({ content }) => content.text)).toEqual([secret]);
      const sampled = { role: "assistant", model: "m", content: { type: "text", text: `by ${n} in ${round}` } };
      const answered = await post(JSON.stringify({ jsonrpc: "2.0", id: asked?.id, result: sampled }));
      expect(answered.status).toBe(202);
      const answer = await running.answer();
      expect(answer.complete).toBeTrue();
      const messages = messagesIn(answer.body.toString());
      expect(messages).toHaveLength(2);
      expect(messages[1]).toMatchObject({
        id: 1,
        result: { content: [{ text: `${secret} was answered by ${n} in ${round}` }] },
      });
    }
    expect((await world.call(undefined, { method: "DELETE", headers })).status).toBe(200);
  };
  await Promise.all(Array.from({ length: 50 }, (_, n) => one(n)));
  expect(server.ended).toBe(50);
  expect(world.relays.sessions.size).toBe(0);
  expect(await world.leftovers()).toEqual({});
});

/** Answers of every kind, some of which never end. */
const BEHAVIOURS: Record<string, Respond> = {
  answer: status(200, '{"jsonrpc":"2.0","id":1,"result":{}}', { "content-type": "application/json" }),
  accept: status(202),
  silent: silent(),
  head: headThenSilent(),
  events: bytes(["data: 1\n\n", "data: 2\n\n"], EVENTS),
  half: (request, recorded) => {
    const gate = new Gate();
    gate.release();
    return bytes(["data: 1\n\n", "data: 2\n\n"], EVENTS, 200, gate)(request, recorded);
  },
  cut: cut("data: 1\n\n", { headers: EVENTS }),
  large: bytes([`data: ${"x".repeat(3_000_000)}\n\n`], EVENTS),
  error: status(500, "no"),
};
const NAMES = Object.keys(BEHAVIOURS);

test("clients that come and go in every phase, and relays that are lost in the middle", async () => {
  const random = randomness(20_260_728);
  const either = <T>(choices: readonly T[]): T => choices[Math.floor(random() * choices.length)]!;
  await using world = new McpWorld({ relays: { maxConcurrencyPerClient: 8 } });
  const provider = await world.provider();
  provider.respond = (request, recorded) => {
    const name = recorded.headers.get("x-behaviour") ?? "answer";
    return (BEHAVIOURS[name] ?? silent())(request, recorded);
  };
  for (let n = 0; n < 3; n++) await world.relay(provider, { provider: { replicas: true } });
  const seen = new Set<string>();

  const one = async (): Promise<void> => {
    const behaviour = either(NAMES);
    const method = either(["POST", "POST", "POST", "GET", "DELETE"]);
    const headers = { "X-Behaviour": behaviour, ...(random() < 0.3 && { "Mcp-Session-Id": `s${random() * 10}` }) };
    const body = method !== "POST" ? undefined : random() < 0.1 ? ("chunked" as const) : rpc(1, "tools/call");
    const client = world.ask({ method, headers, ...(body !== undefined && { body }) });
    if (body === "chunked") await client.send(rpc(1, "tools/call").slice(0, 20));
    await turns(Math.floor(random() * 60));
    if (body !== "chunked" && !["silent", "head", "half"].includes(behaviour) && random() < 0.5) {
      const { status: code } = await client.answer();
      seen.add(`${behaviour} ${code}`);
    } else {
      client.abort();
    }
  };
  const lane = async (): Promise<void> => {
    for (let n = 0; n < 40; n++) await one();
  };
  const storm = Promise.all(Array.from({ length: 12 }, lane));
  for (let n = 0; n < 4; n++) {
    await turns(200);
    const [worker] = world.relays.pool.registry.workers;
    worker?.upstream.close(4000, "lost");
    await world.relay(provider, { provider: { replicas: true } });
  }
  await storm;
  expect(await world.leftovers()).toEqual({});
  // The storm did reach every kind of answer, and the relays serve on.
  for (const expected of ["answer 200", "accept 202", "events 200", "error 500"]) expect([...seen]).toContain(expected);
  expect((await world.call(rpc(1, "x"))).status).toBe(200);
  expect(await world.leftovers()).toEqual({});
});

test("200 sessions that nobody ends leave nothing running", async () => {
  await using world = new McpWorld();
  const { provider } = await world.pair();
  let count = 0;
  provider.respond = (request, recorded) =>
    recorded.method === "GET"
      ? headThenSilent()(request, recorded)
      : status(200, "{}", { "mcp-session-id": `s-${++count}` })(request, recorded);
  for (let n = 0; n < 200; n++) {
    const begun = await world.call(rpc(0, "initialize"));
    const listener = world.ask({ headers: { "Mcp-Session-Id": headerOf(begun, "mcp-session-id") ?? "" } });
    await listener.head();
    listener.abort();
  }
  await provider.aborted(200);
  expect(world.relays.sessions.size).toBe(200);
  expect(await world.leftovers()).toEqual({});
});
