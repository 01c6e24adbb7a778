import { AccessLog, type AccessRecord } from "../../../src/broker/http/access-log.ts";
import { UNMATCHED_ROUTE } from "../../../src/broker/http/mount.ts";
import { silentLog } from "../../../src/lib/log.ts";
import { TestClock } from "../time/clock.ts";

/** What is told of a request that no log hears of. */
export function access(request: Request = new Request("http://broker/")): AccessRecord {
  return new AccessLog({ log: silentLog, clock: new TestClock(), enabled: false }).begin(request, UNMATCHED_ROUTE);
}
