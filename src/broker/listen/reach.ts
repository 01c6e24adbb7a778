// Where a broker may be reached from, given what it asks of those who come.
import type { Address } from "../../lib/address.ts";
import { isLoopback } from "../../lib/origin-guard.ts";

/** The options that decide it. */
export interface ReachOptions {
  readonly host: string;
  readonly port: number;
  readonly apiKey: string | undefined;
  readonly clientKey: string | undefined;
  readonly apiHttpRoles: readonly string[];
  readonly clientHttpRoles: readonly string[];
  readonly allowOpen: boolean;
}

export interface Reach extends Address {
  /** The missing keys, without which every client has access. */
  readonly missing: readonly ("API_KEY" | "CLIENT_KEY")[];
  /** True when it listens on this machine only because a key is missing. */
  readonly narrowed: boolean;
}

/** A broker without keys listens only on this machine, unless ALLOW_OPEN is set. */
export function reachOf({ host, port, allowOpen, ...keys }: ReachOptions): Reach {
  const missing: Reach["missing"][number][] = [];
  if (!keys.apiKey && keys.apiHttpRoles.length === 0) missing.push("API_KEY");
  if (!keys.clientKey && keys.clientHttpRoles.length === 0) missing.push("CLIENT_KEY");
  const narrowed = missing.length > 0 && !allowOpen && !isLoopback(host);
  return { host: narrowed ? "127.0.0.1" : host, port, missing, narrowed };
}

/** Advice for a broker that listens only on this machine. */
export function howToOpen({ missing }: Reach): string {
  return `listening on 127.0.0.1 only, because a key is missing: set ${missing.join(" and ")}, or ALLOW_OPEN=true to serve everyone without a key`;
}
