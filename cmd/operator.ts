// Operators' commands of `nfrx`, and the broker's side of them.
import { userInfo } from "node:os";
import type { Broker, BrokerOptions } from "../src/broker/broker.ts";
import { isCommand, runCommand } from "../src/broker/cli/run.ts";
import { ControlSocket, NO_SOCKET } from "../src/broker/listen/control-socket.ts";
import { openPeopleStore } from "../src/broker/people/open.ts";
import { People } from "../src/broker/people/people.ts";
import { controlSockets } from "../src/config/paths.ts";
import type { Logger } from "../src/lib/log.ts";
import { systemClock } from "../src/lib/time.ts";

/** True of a command line that begins with a command for operators, such as `key`. */
export function isOperatorCommand(argv: readonly string[]): boolean {
  return isCommand(argv.slice(2));
}

/** Runs it. */
export async function runOperatorCommand(argv: readonly string[]): Promise<never> {
  const code = await runCommand(argv.slice(2), {
    env: process.env,
    platform: process.platform,
    user: userInfo().username,
    out: line => void process.stdout.write(`${line}\n`),
    error: line => void process.stderr.write(`${line}\n`),
    now: () => Date.now(),
  });
  process.exit(code);
}

/** Opens what the broker keeps of people. */
export function openPeople(values: BrokerOptions["values"], log: Logger): Promise<People> {
  return People.open({
    store: openPeopleStore(values.keysStore, systemClock, log),
    clock: systemClock,
    log,
    retentionMs: values.usageRetentionMs,
  });
}

/** Opens the control socket of a broker; undefined where there is none. */
export function openControl(
  broker: Broker,
  values: BrokerOptions["values"],
  log: Logger,
): Promise<ControlSocket | undefined> {
  const { controlSocket: named } = values;
  if (named === NO_SOCKET) return Promise.resolve(undefined);
  const paths = named === "" ? controlSockets({ platform: process.platform, env: process.env }) : [named];
  return ControlSocket.open({ paths, named: named !== "", answer: request => broker.administer(request), log });
}
