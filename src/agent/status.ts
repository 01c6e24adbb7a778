// The agent's local door: how it is, and drain, undrain, shutdown for whoever holds the token.

import { timingSafeEqual } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { type Address, serve } from "../lib/listen.ts";
import type { Logger } from "../lib/log.ts";
import { SecretFileRefused, secureSecretFile } from "../lib/secret-file.ts";
import { DATE, SHA, VERSION } from "../lib/version.ts";
import type { Agent } from "./run.ts";

export interface StatusOptions {
  agent: Agent;
  address: Address;
  /** What the POSTs must bring in X-Auth-Token; undefined turns them off. */
  token: string | undefined;
  /** Called for POST /control/shutdown. */
  onShutdown: () => void;
}

/** Serves /status, /version and /control/… Throws when the address is taken. */
export function serveStatus({ agent, address, token, onShutdown }: StatusOptions): Bun.Server<undefined> {
  const control: Record<string, () => void> = {
    "/control/drain": () => agent.drain(),
    "/control/undrain": () => agent.undrain(),
    "/control/shutdown": onShutdown,
  };
  const answer = (request: Request, server: Bun.Server<undefined>): Response => {
    const { pathname } = new URL(request.url);
    if (request.method === "GET" && pathname === "/status") return Response.json(agent.status());
    if (request.method === "GET" && pathname === "/version")
      return Response.json({ version: VERSION, build_sha: SHA, build_date: DATE });
    const act = control[pathname];
    if (act === undefined) return Response.json({ error: "not_found" }, { status: 404 });
    if (request.method !== "POST")
      return Response.json({ error: "method_not_allowed" }, { status: 405, headers: { allow: "POST" } });
    if (!isLoopback(server.requestIP(request)?.address)) return Response.json({ error: "forbidden" }, { status: 403 });
    if (token === undefined || !same(token, request.headers.get("x-auth-token") ?? "")) {
      return Response.json({ error: "unauthorized" }, { status: 401 });
    }
    act();
    return Response.json({ status: "ok" });
  };
  return serve({
    option: "STATUS_ADDR",
    address: { port: address.port, host: address.host === "" ? "0.0.0.0" : address.host },
    answer,
  });
}

/** The control token in `folder`, made on first use with mode 0600. Undefined, with a word in the log, when it cannot be kept. */
export function controlToken(folder: string, name: string, log: Logger): string | undefined {
  const file = join(folder, `${name}.token`);
  try {
    secureSecretFile(file, log);
    const token = readFileSync(file, "utf8").trim();
    if (token.length >= 16) return token;
  } catch (error) {
    if (error instanceof SecretFileRefused) {
      log.warn({ file, reason: error.message }, "the control token file is not safe to use, so /control is off");
      return undefined;
    }
    // There is no file yet: it is made below.
  }
  try {
    const token = Buffer.from(crypto.getRandomValues(new Uint8Array(32))).toString("hex");
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${token}\n`, { mode: 0o600 });
    chmodSync(file, 0o600);
    return token;
  } catch (error) {
    log.warn({ file, error: messageOf(error) }, "the control token cannot be kept, so /control is off");
    return undefined;
  }
}

function isLoopback(address: string | undefined): boolean {
  return (
    address !== undefined && (address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127."))
  );
}

function same(a: string, b: string): boolean {
  const hash = (text: string): Uint8Array => new Bun.CryptoHasher("sha256").update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}
