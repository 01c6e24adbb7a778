// The built programs as services of type notify, before a socket such as systemd's.

import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { until } from "../kit/time/until.ts";

const dist = resolve(import.meta.dir, "..", "..", process.env["NFRX_DIST"] || "dist");
const folder = mkdtempSync(join(tmpdir(), "nfrx-test-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Prints every message that arrives at a socket as a line of JSON; Bun has no datagrams on Unix sockets. */
const RECEIVER = `
import json, socket, sys
socket_ = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
socket_.bind(sys.argv[1])
print(json.dumps("bound"), flush=True)
while True:
    print(json.dumps(socket_.recv(4096).decode()), flush=True)
`;

test.skipIf(process.platform !== "linux")(
  "a broker says that it is ready, that it lives, and that it stops",
  async () => {
    const path = join(folder, "notify");
    const receiver = Bun.spawn(["python3", "-c", RECEIVER, path], { stdout: "pipe", stderr: "inherit" });
    const messages = lines(receiver.stdout);
    const next = async (): Promise<string> => {
      const { value } = await until(messages.next(), "a message to the manager");
      return String(value);
    };
    expect(await next()).toBe("bound");
    const broker = Bun.spawn([join(dist, "nfrx"), "--port", "0", "--jobs-store", "memory", "--drain-timeout", "0"], {
      env: { NOTIFY_SOCKET: path, WATCHDOG_USEC: "300000", LOG_LEVEL: "none" },
      stdout: "ignore",
      stderr: "inherit",
    });
    try {
      expect(await next()).toBe("READY=1\nSTATUS=serving: 0 agents connected, 0 requests in flight");
      expect(await next()).toBe("WATCHDOG=1");
      broker.kill("SIGTERM");
      let last = "";
      while (last !== "STOPPING=1") {
        last = await next();
        expect(["WATCHDOG=1", "STOPPING=1"]).toContain(last);
      }
      expect(await until(broker.exited, "the broker to end")).toBe(0);
    } finally {
      broker.kill("SIGKILL");
      receiver.kill("SIGKILL");
      await Promise.all([broker.exited, receiver.exited]);
    }
  },
);

async function* lines(stream: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of stream) {
    const whole = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = whole.pop() ?? "";
    for (const line of whole) yield JSON.parse(line);
  }
}
