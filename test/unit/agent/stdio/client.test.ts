// MCP's own client through the provider to a server of MCP's own SDK.
import { describe, expect, test } from "bun:test";
import type { Client } from "@modelcontextprotocol/sdk/client/index.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { callText, connect, reach, textOf } from "../../../kit/mcp/provider.ts";
import { Changes, until } from "../../../kit/time/until.ts";

/** Answers sampling with the question and a word of the client's own. */
function samples(client: Client, word: string): void {
  client.setRequestHandler(CreateMessageRequestSchema, ({ params }) => {
    const [first] = params.messages;
    const content = Array.isArray(first?.content) ? first.content[0] : first?.content;
    const text = content?.type === "text" ? content.text : "?";
    return { model: "m", role: "assistant", content: { type: "text", text: `${text} ${word}` } };
  });
}

/** The response, whose connection breaks after the first progress. */
function cutAfterProgress(response: Response, onCut: () => void): Response {
  const cut = new TransformStream<Uint8Array, Uint8Array>({
    transform(chunk, controller) {
      controller.enqueue(chunk);
      if (!new TextDecoder().decode(chunk).includes("notifications/progress")) return;
      controller.error(new Error("cut"));
      onCut();
    },
  });
  return new Response(response.body?.pipeThrough(cut) ?? null, response);
}

describe("a client of the SDK", () => {
  test("lists and calls tools, one server for its session", async () => {
    await using server = reach("fixture");
    const client = await connect(server);
    expect((await client.listTools()).tools.map(({ name }) => name)).toContain("echo");
    expect(await callText(client, "echo", { text: "Grüße, 世界 \u2028" })).toBe("Grüße, 世界 \u2028");
    const other = await connect(server);
    expect(await callText(client, "pid")).toBe(await callText(client, "pid"));
    expect(await callText(client, "pid")).not.toBe(await callText(other, "pid"));
    expect(server.provider.sessions).toBe(2);
    await client.close();
  });

  test("gets progress, logs and changes of the list", async () => {
    await using server = reach("fixture");
    const changes = new Changes();
    const heard: string[] = [];
    const client = await connect(server, {}, client => {
      client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => {
        heard.push(`log ${params.data}`);
        changes.notify();
      });
      client.setNotificationHandler(ToolListChangedNotificationSchema, () => {
        heard.push("list");
        changes.notify();
      });
    });
    const progress: number[] = [];
    const counted = await client.callTool({ name: "count", arguments: { to: 5 } }, undefined, {
      onprogress: ({ progress: at }) => progress.push(at),
    });
    expect([textOf(counted), progress]).toEqual(["counted to 5", [1, 2, 3, 4, 5]]);
    await callText(client, "log", { text: "hello" });
    await callText(client, "grow");
    await changes.when(
      () => heard.length === 2,
      () => `heard ${heard}`,
    );
    expect(heard).toEqual(["log hello", "list"]);
    await client.close();
  });

  test("is asked for samples, words and roots", async () => {
    await using server = reach("fixture");
    const client = await connect(server, { sampling: {}, elicitation: {}, roots: {} }, client => {
      samples(client, "indeed");
      client.setRequestHandler(ElicitRequestSchema, () => ({ action: "accept", content: { name: "me" } }));
      client.setRequestHandler(ListRootsRequestSchema, () => ({ roots: [{ uri: "file:///r" }] }));
    });
    expect(await callText(client, "sample", { text: "yes" })).toBe("yes indeed");
    expect(await callText(client, "ask")).toBe("accept me");
    expect(await callText(client, "roots")).toBe("file:///r");
    await client.close();
  });

  test("cancels a call, and its server hears of it", async () => {
    await using server = reach("fixture");
    const client = await connect(server);
    const abort = new AbortController();
    const call = client.callTool({ name: "wait" }, undefined, {
      signal: abort.signal,
      onprogress: () => abort.abort(),
    });
    expect(
      await call.then(
        () => "done",
        error => error.name,
      ),
    ).not.toBe("done");
    expect(await callText(client, "cancelled")).toBe("1");
    await client.close();
  });

  test("takes up a call again whose stream was cut", async () => {
    await using server = reach("fixture");
    const resumed: string[] = [];
    const cut = Promise.withResolvers<void>();
    const client = await connect({
      fetch: async (url, init) => {
        const resumes = new Headers(init?.headers).get("last-event-id");
        if (resumes !== null) resumed.push(resumes);
        const response = await server.fetch(url, init);
        const waits = typeof init?.body === "string" && init.body.includes('"wait"');
        return waits ? cutAfterProgress(response, cut.resolve) : response;
      },
    });
    const call = client.callTool({ name: "wait" }, undefined, { onprogress: () => {} });
    await until(cut.promise, "the cut");
    expect(await callText(client, "release")).toBe("released them");
    expect(textOf(await call)).toBe("released");
    expect(resumed).toHaveLength(1);
    await client.close();
  });

  test("ends its session, and is then unknown", async () => {
    await using server = reach("fixture");
    const client = await connect(server);
    const { transport } = client;
    if (transport === undefined || !("terminateSession" in transport)) throw new Error("no transport");
    const end = transport.terminateSession;
    if (typeof end === "function") await end.call(transport);
    expect(server.provider.sessions).toBe(0);
    await client.close();
  });

  test("fifty at once, with equal ids and samples under way, hear nothing of each other", async () => {
    await using server = reach("fixture");
    const names = Array.from({ length: 50 }, (_, at) => `client ${at}`);
    const heard = await until(
      Promise.all(
        names.map(async name => {
          const client = await connect(server, { sampling: {} }, client => samples(client, name));
          const calls = Array.from({ length: 4 }, (_, at) => callText(client, "sample", { text: `${at} of` }));
          const said = await Promise.all(calls);
          await client.close();
          return said;
        }),
      ),
      "the samples of all clients",
      50_000,
    );
    expect(heard).toEqual(names.map(name => [0, 1, 2, 3].map(at => `${at} of ${name}`)));
  });
});
