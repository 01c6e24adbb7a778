// A WebSocket by hand: it sends what no library sends, and answers no ping.
import { RawClient } from "./raw-client.ts";

/** The upgrade request of an agent, with these headers besides those that every one has. */
export function upgradeRequest(path: string, headers: Record<string, string> = {}): string {
  const all = {
    host: "x",
    upgrade: "websocket",
    connection: "Upgrade",
    "sec-websocket-version": "13",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers,
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return `GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`;
}

/** Asks for an upgrade; what came of it is in `status`, and 0 when the connection was closed without an answer. */
export async function rawUpgrade(port: number, path: string, headers?: Record<string, string>): Promise<RawClient> {
  const client = await RawClient.connect(port);
  await client.write(upgradeRequest(path, headers));
  await client.when(() => client.status !== 0 || client.closed, "an answer to the upgrade");
  return client;
}

/** One masked WebSocket frame; a mask of zeros leaves the payload as it is. */
export function wsFrame(opcode: number, payload: Uint8Array): Buffer {
  const head = Buffer.alloc(14);
  head[0] = 0x80 | opcode;
  head[1] = 0x80 | 127;
  head.writeBigUInt64BE(BigInt(payload.length), 2);
  return Buffer.concat([head, payload]);
}

const PING = Buffer.from([0x89, 0]);

/** Resolves once a WebSocket ping has come. */
export function pinged(client: RawClient): Promise<void> {
  return client.when(() => client.last.subarray(-2).equals(PING), "a ping");
}

/** A JSON message as a frame. */
export function textFrame(message: unknown): Buffer {
  return wsFrame(1, Buffer.from(JSON.stringify(message)));
}
