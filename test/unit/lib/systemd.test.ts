import { expect, test } from "bun:test";
import { type ServiceEnvironment, serviceManager } from "../../../src/lib/systemd.ts";
import { TestClock } from "../../kit/time/clock.ts";

async function manager(env: Record<string, string>, send?: (message: string) => void) {
  const [clock, sent, troubles]: [TestClock, string[], string[]] = [new TestClock(), [], []];
  const service: ServiceEnvironment = {
    env,
    pid: 42,
    clock,
    onTrouble: cause => void troubles.push(cause),
    send: send ?? (message => void sent.push(message)),
  };
  return { clock, sent, troubles, manager: await serviceManager(service) };
}

const SOCKET = { NOTIFY_SOCKET: "/run/systemd/notify" };

test("without a manager nothing is sent and no timer armed", async () => {
  const { clock, sent, manager: none } = await manager({ WATCHDOG_USEC: "1000000" });
  none.ready(() => "fine");
  none.stopping();
  expect(sent).toEqual([]);
  expect(clock.armed).toBe(0);
});

test("readiness, what is new, and the end are told", async () => {
  const { clock, sent, manager: systemd } = await manager(SOCKET);
  let status = "connecting";
  systemd.ready(() => status);
  clock.advance(20_000);
  status = "connected\nREADY=0";
  clock.advance(20_000);
  systemd.stopping();
  expect(sent).toEqual(["READY=1\nSTATUS=connecting", "STATUS=connected READY=0", "STOPPING=1"]);
});

test("a watchdog hears of the program three times in its period", async () => {
  const { clock, sent, manager: systemd } = await manager({ ...SOCKET, WATCHDOG_USEC: "6000000", WATCHDOG_PID: "42" });
  systemd.ready(() => "fine");
  clock.advance(6000);
  expect(sent.slice(1)).toEqual(["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
});

test("the watchdog of another process is left alone", async () => {
  const { clock, sent, manager: systemd } = await manager({ ...SOCKET, WATCHDOG_USEC: "6000000", WATCHDOG_PID: "7" });
  systemd.ready(() => "fine");
  clock.advance(60_000);
  expect(sent).toHaveLength(1);
});

test("a manager that cannot be told is no reason to stop", async () => {
  const { troubles, manager: systemd } = await manager(SOCKET, () => {
    throw new Error("sd_notify failed with errno 111");
  });
  systemd.ready(() => "fine");
  systemd.stopping();
  expect(troubles).toEqual(["sd_notify failed with errno 111", "sd_notify failed with errno 111"]);
});
