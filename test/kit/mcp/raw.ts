// A stdio server that is written by hand, so that it can misbehave; run it as a program. Its first argument says how it begins.
import { once } from "node:events";
import { createInterface } from "node:readline";

const [how = "well"] = process.argv.slice(2);
const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};
const answer = (id: unknown, result: string): void =>
  say(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"result":${result}}`);

if (how === "crash") {
  console.error("no such thing as a free lunch");
  console.error("Node.js v22.1.0");
  process.exit(3);
}
if (how === "stubborn") {
  process.on("SIGTERM", () => {});
  setInterval(() => {}, 1000);
}
if (how === "garbage") {
  say("Welcome to the server!");
  say("");
  say('{"level":"info","msg":"starting"}');
  say("[1,2");
}

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (method === "initialize") {
    const result = {
      protocolVersion: params.protocolVersion,
      capabilities: {},
      serverInfo: { name: how, version: "1" },
    };
    // CRLF is tolerated.
    answer(id, `${JSON.stringify(result)}`.replace(/$/, "\r").trimEnd());
  } else if (method === "raw") {
    // What came in, as it came in, and what the test wants said.
    answer(id, JSON.stringify({ line }));
  } else if (method === "say") {
    for (const each of params.lines) say(each);
    if (params.answer !== false) answer(id, "{}");
  } else if (method === "big") {
    answer(id, JSON.stringify({ text: "y".repeat(params.bytes) }));
  } else if (method === "digits") {
    say(`{"jsonrpc":"2.0","result":{"n":12345678901234567890, "f":1.10},"id":${JSON.stringify(id)}}\r`);
  } else if (method === "die") {
    process.exit(9);
  } else if (method === "self") {
    answer(id, JSON.stringify({ pid: process.pid, own: process.pid, env: process.env, folder: process.cwd() }));
  } else if (method === "flood") {
    for (let i = 0; i < params.times; i++) {
      // Only what the reader takes is written.
      if (!process.stdout.write(`${params.line}\n`)) await once(process.stdout, "drain");
    }
    answer(id, "{}");
  } else if (method === "sleep") {
    // It reads nothing from now on.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  } else if (method === "spawn") {
    const child = Bun.spawn(["sleep", "1000"], { stdout: "inherit" });
    child.unref();
    answer(id, JSON.stringify({ pid: child.pid, own: process.pid }));
  } else if (id !== undefined && method !== undefined && method !== "silent" && method !== "tasks/result") {
    say(`{"jsonrpc":"2.0","id":${JSON.stringify(id)},"error":{"code":-32601,"message":"Method not found"}}`);
  }
}
