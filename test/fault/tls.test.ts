import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { connect, type TLSSocket } from "node:tls";
import { AfterFirst } from "../kit/backend/after-first.ts";
import { chatStream } from "../kit/backend/backend.ts";
import { Authority } from "../kit/http/authority.ts";
import type { BrokerProgram } from "../kit/process/broker.ts";
import { Processes } from "../kit/processes.ts";
import { Gate } from "../kit/time/gate.ts";
import { until } from "../kit/time/until.ts";

/** A TLS connection to the broker that stays open. */
async function dial(broker: BrokerProgram, ca: string): Promise<TLSSocket> {
  const socket = connect({ port: broker.port, host: "127.0.0.1", ca, ALPNProtocols: ["http/1.1"] });
  await until(
    new Promise<void>((resolve, reject) => socket.once("secureConnect", resolve).once("error", reject)),
    "a TLS handshake",
  );
  return socket;
}

/** The common name of the certificate that the broker shows. */
async function shown(broker: BrokerProgram, ca: string): Promise<unknown> {
  const socket = await dial(broker, ca);
  const name = socket.getPeerCertificate().subject.CN;
  socket.destroy();
  return name;
}

test("TLS in the broker itself, and a new certificate without a restart", async () => {
  await using processes = new Processes();
  const authority = new Authority(processes.folder);
  authority.issue("first");
  authority.install("first");
  const ca = await authority.pem();
  const tls = { ca };
  const broker = await processes.broker({
    TLS_CERT_FILE: join(processes.folder, "server.pem"),
    TLS_KEY_FILE: join(processes.folder, "server.key"),
  });
  const gate = new Gate();
  const backend = await processes.backend();
  backend.respond = (request, recorded) =>
    chatStream(["one ", "two "], { gate: new AfterFirst(gate) })(request, recorded);
  const agent = await processes.agent(broker, backend, { TLS_CA_FILE: authority.file, MAX_CONCURRENCY: "4" });
  expect(await shown(broker, ca)).toBe("first");

  const idle = await dial(broker, ca);
  const answered = new Promise(resolve => idle.once("data", resolve)).then(String);
  const idleEnded = new Promise(resolve => idle.once("close", resolve));
  // A short name is a host like any other.
  idle.write("GET /healthz HTTP/1.1\r\nhost: ai\r\n\r\n");
  expect(await until(answered, "an answer on the connection that is idle from then on")).toStartWith("HTTP/1.1 200");
  idle.resume();
  const stream = await broker.chat({ stream: true }, { tls });
  expect(stream.status).toBe(200);

  authority.issue("second");
  authority.install("second");
  await broker.line(line => line.msg === "certificate reloaded", "the new certificate is used");
  expect(await shown(broker, ca)).toBe("second");
  // What is at work goes on: the agent, a stream. A connection that nobody uses ends.
  await until(idleEnded, "the end of the idle connection");
  gate.open();
  expect(await stream.text()).toEndWith("data: [DONE]\n\n");
  const answer = await broker.chat({ stream: true }, { tls });
  expect(await answer.text()).toContain("two ");
  expect(broker.lines.filter(line => line.msg === "worker disconnected")).toEqual([]);

  // A pair that does not fit is left aside.
  writeFileSync(join(processes.folder, "server.key"), "no key");
  const refusal = await broker.line(line => line.level === "error", "the broken pair is refused");
  expect(refusal.msg).toContain("keeping the old one");
  expect(await shown(broker, ca)).toBe("second");

  authority.issue("third");
  authority.install("third");
  const from = broker.mark;
  await broker.line(line => line.msg === "certificate reloaded", "the third certificate is used", undefined, from);
  expect(await shown(broker, ca)).toBe("third");
  // An agent that comes now comes to the new listener; the first one is still here.
  await processes.agent(broker, backend, { TLS_CA_FILE: authority.file, CLIENT_ID: "late" });
  expect((await broker.chat({}, { tls })).status).toBe(200);

  broker.signal("SIGTERM");
  expect(await broker.ending()).toEqual({ code: 0, signal: null });
  expect(await agent.ending()).toMatchObject({ code: 1 });
  expect([...broker.strays, ...agent.strays]).toEqual([]);
}, 60_000);

test("an agent does not trust a broker whose authority it does not know", async () => {
  await using processes = new Processes();
  const authority = new Authority(processes.folder);
  authority.issue("server");
  const broker = await processes.broker({
    TLS_CERT_FILE: join(processes.folder, "server.pem"),
    TLS_KEY_FILE: join(processes.folder, "server.key"),
  });
  const backend = await processes.backend();
  const agent = processes.start("nfrx-llm", { SERVER_URL: broker.connectUrl(), COMPLETION_BASE_URL: backend.url });
  expect(await agent.ending()).toMatchObject({ code: 1 });
  expect(String(agent.lines.at(-1)?.["reason"])).toMatch(/certificate|self.signed|verif/i);
  expect(agent.strays).toEqual([]);
}, 60_000);

test("a broker whose certificate cannot be used says so and ends", async () => {
  await using processes = new Processes();
  writeFileSync(join(processes.folder, "server.pem"), "no certificate");
  writeFileSync(join(processes.folder, "server.key"), "no key");
  const broker = processes.start("nfrx", {
    PORT: "0",
    TLS_CERT_FILE: join(processes.folder, "server.pem"),
    TLS_KEY_FILE: join(processes.folder, "server.key"),
  });
  expect((await broker.ending()).code).toBe(1);
  expect(broker.strays).toHaveLength(1);
}, 60_000);
