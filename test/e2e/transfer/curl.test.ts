// The curl lines of the README, and what curl makes of a transfer that fails.
import { expect } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { withCurl } from "../../kit/http/shell.ts";
import { eventually } from "../../kit/time/until.ts";
import { KEY, TransferWorld } from "../../kit/transfer/transfers.ts";

const MIB = 1024 * 1024;
/** What curl ends with when an answer is cut: it is partial, there is none, the connection is reset. */
const CUT = [18, 52, 56];

const sha256 = (bytes: Uint8Array | ArrayBuffer): string => new Bun.CryptoHasher("sha256").update(bytes).digest("hex");

/** curl with the API key; its exit code and what it printed. */
function curl(...args: string[]): { pid: number; kill(): void; done: Promise<[number, string]> } {
  return curlFrom(undefined, ...args);
}

/** The same, with a file as its input. */
function curlFrom(file: string | undefined, ...args: string[]) {
  const child = Bun.spawn(["curl", "-s", "-H", `Authorization: ${KEY.Authorization}`, ...args], {
    env: { PATH: process.env["PATH"] ?? "" },
    stdin: file === undefined ? "ignore" : Bun.file(file),
    stdout: "pipe",
    stderr: "inherit",
  });
  const done = (async (): Promise<[number, string]> => [await child.exited, await new Response(child.stdout).text()])();
  return { pid: child.pid, kill: () => child.kill("SIGKILL"), done };
}

async function folder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "nfrx-transfer-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

async function create(world: TransferWorld): Promise<string> {
  const [, text] = await curl("-X", "POST", `${world.origin}/api/transfer`).done;
  return JSON.parse(text).channel_id;
}

withCurl.each(["reader", "writer"] as const)("a file of 40 MiB from curl to curl, the %s first", async first => {
  await using world = new TransferWorld();
  await using dir = await folder();
  const [from, to] = [join(dir.path, "from"), join(dir.path, "to")];
  const file = crypto.getRandomValues(new Uint8Array(64 * 1024));
  const bytes = Buffer.concat(Array.from({ length: 640 }, (_, i) => file.map(byte => byte ^ i)));
  await Bun.write(from, bytes);
  const id = await create(world);
  const come = {
    reader: () => curl("-D", "-", "-o", to, world.url(id)),
    writer: () => curl("-H", "Content-Type: video/mp4", "--data-binary", `@${from}`, world.url(id)),
  };
  const early = come[first]();
  await world.waits(id, first);
  const late = come[first === "reader" ? "writer" : "reader"]();
  const [reader, writer] = first === "reader" ? [early, late] : [late, early];
  expect(await writer.done).toEqual([0, '{"status":"ok"}']);
  const [code, head] = await reader.done;
  expect(code).toBe(0);
  expect(head.toLowerCase()).toContain("content-type: video/mp4\r\n");
  expect(head.toLowerCase()).toContain(`x-transfer-length: ${40 * MIB}\r\n`);
  expect(sha256(await Bun.file(to).arrayBuffer())).toBe(sha256(bytes));
});

withCurl("curl uploads what it is piped, with no length", async () => {
  await using world = new TransferWorld();
  await using dir = await folder();
  const from = join(dir.path, "from");
  await Bun.write(from, "piped");
  const id = await create(world);
  const reader = curl(world.url(id));
  const writer = curl("-X", "POST", "-H", "Transfer-Encoding: chunked", "-T", from, world.url(id));
  expect(await writer.done).toEqual([0, '{"status":"ok"}']);
  expect(await reader.done).toEqual([0, "piped"]);
});

withCurl.each(["--http1.1", "--http1.0"])("a writer that is killed: its reader's curl fails (%s)", async version => {
  await using world = new TransferWorld();
  const id = await create(world);
  const reader = curl(version, world.url(id));
  const writer = world.writer(id);
  await writer.send("a part");
  await eventually(() => world.bytes > 0, "the reader is being answered");
  writer.abort("rst");
  expect(CUT).toContain((await reader.done)[0]);
});

withCurl("a reader that is killed: its writer's curl stops, and says why", async () => {
  await using world = new TransferWorld();
  await using dir = await folder();
  const from = join(dir.path, "from");
  await Bun.write(from, new Uint8Array(64 * MIB));
  const id = await create(world);
  const reader = world.reader(id);
  const writer = curl("-w", " %{http_code}", "--limit-rate", "32M", "--data-binary", `@${from}`, world.url(id));
  await reader.received(MIB);
  reader.abort("rst");
  expect(await writer.done).toEqual([0, '{"error":"transfer_failed"} 502']);
  await world.quiet();
  expect(world.outcomes).toEqual(["reader_gone"]);
});

withCurl("a reader that speaks HTTP/1.0 gets the bytes, too", async () => {
  await using world = new TransferWorld();
  const id = await create(world);
  const reader = curl("-0", world.url(id));
  expect(await curl("--data-binary", "some bytes", world.url(id)).done).toEqual([0, '{"status":"ok"}']);
  expect(await reader.done).toEqual([0, "some bytes"]);
});

withCurl("curl -T writes with PUT, a file or what comes from a pipe", async () => {
  await using world = new TransferWorld();
  await using dir = await folder();
  const from = join(dir.path, "from");
  await Bun.write(from, new Uint8Array(3 * MIB).fill(7));
  for (const source of [from, "-"]) {
    const to = join(dir.path, "to");
    const id = await create(world);
    const reader = curl("-o", to, world.url(id));
    await world.waits(id, "reader");
    expect(await curlFrom(from, "-T", source, world.url(id)).done).toEqual([0, '{"status":"ok"}']);
    expect(await reader.done).toEqual([0, ""]);
    expect(sha256(await Bun.file(to).arrayBuffer())).toBe(sha256(await Bun.file(from).arrayBuffer()));
  }
});
