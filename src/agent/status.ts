// The agent's own HTTP server: its status, and drain, undrain and shutdown for requests with the control token.

import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { controlTokenDir } from "../config/paths.ts";
import type { Address } from "../lib/address.ts";
import { matchesDigest, sha256 } from "../lib/digest.ts";
import { messageOf, NfrxError, toNfrxError } from "../lib/errors.ts";
import { serve } from "../lib/listen.ts";
import type { Logger } from "../lib/log.ts";
import { isLoopback, OriginGuard } from "../lib/origin-guard.ts";
import { SecretFileRefused, secureSecretFile } from "../lib/secret-file.ts";
import { DATE, SHA, VERSION } from "../lib/version.ts";
import type { Agent } from "./run.ts";

export interface StatusOptions {
  agent: Agent;
  address: Address;
  /** The value of X-Auth-Token that POSTs need, and GETs unless the server listens on loopback; undefined refuses them. */
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
  const reads: Record<string, () => unknown> = {
    "/status": () => agent.status(),
    "/version": () => ({ version: VERSION, build_sha: SHA, build_date: DATE }),
  };
  const guard = new OriginGuard({
    allowsOrigin: () => false,
    hosts: [],
    listensOn: address.host,
    remedy: "use 127.0.0.1 or localhost",
  });
  const local = isLoopback(address.host);
  const authorized = (request: Request): boolean =>
    token !== undefined && sameText(token, request.headers.get("x-auth-token") ?? "");
  const respond = (request: Request, server: Bun.Server<undefined>): Response => {
    guard.check(request.headers);
    const { method } = request;
    const { pathname } = new URL(request.url);
    const read = method === "GET" ? reads[pathname] : undefined;
    if (read !== undefined) {
      if (!local && !authorized(request)) throw new NfrxError("unauthorized", "missing or invalid X-Auth-Token");
      return Response.json(read());
    }
    const act = control[pathname];
    if (act === undefined) throw new NfrxError("not_found", "not found");
    if (method !== "POST") throw new NfrxError("method_not_allowed", "use POST");
    if (!isLoopback(addressOf(request, server)))
      throw new NfrxError("forbidden", "/control is available only from this machine");
    if (!authorized(request)) throw new NfrxError("unauthorized", "missing or invalid X-Auth-Token");
    act();
    return Response.json({ status: "ok" });
  };
  return serve({
    option: "STATUS_ADDR",
    address: { port: address.port, host: address.host === "" ? "0.0.0.0" : address.host },
    answer: (request, server) => {
      try {
        return respond(request, server);
      } catch (thrown) {
        return failed(toNfrxError(thrown));
      }
    },
  });
}

function failed({ code, status, message }: NfrxError): Response {
  const headers = code === "method_not_allowed" ? { allow: "POST" } : {};
  return Response.json({ error: code, message }, { status, headers });
}

/** The folder of this agent's control token, by its configuration file. */
export function tokenDir(configFile: string, name: string): string {
  const { platform, env } = process;
  return controlTokenDir({ platform, env }, configFile, () => existsSync(join(dirname(configFile), `${name}.token`)));
}

/**
 * The control token in `folder`, created on first use with mode 0600. Undefined, with a warning, if it cannot be
 * stored.
 */
export function controlToken(folder: string, name: string, log: Logger): string | undefined {
  const file = join(folder, `${name}.token`);
  try {
    secureSecretFile(file, log);
    const token = readFileSync(file, "utf8").trim();
    if (token.length >= 16) return token;
  } catch (error) {
    if (error instanceof SecretFileRefused) {
      log.warn({ file, reason: error.message }, "/control is off: the control token file is not safe to use");
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
    log.warn({ file, error: messageOf(error) }, "/control is off: cannot store the control token");
    return undefined;
  }
}

/** The other end of the connection, without an IPv4-in-IPv6 prefix; empty when it has gone. */
function addressOf(request: Request, server: Bun.Server<undefined>): string {
  return (server.requestIP(request)?.address ?? "").replace(/^::ffff:/, "");
}

function sameText(a: string, b: string): boolean {
  return matchesDigest(a, sha256(b));
}
