// Detects the era of a server.
import type { Clock } from "../../../lib/time.ts";
import { VERSION } from "../../../lib/version.ts";
import { at, type Message, UNSUPPORTED_VERSION } from "./message.ts";
import {
  CLIENT_CAPABILITIES,
  CLIENT_INFO,
  FIRST_STATELESS_VERSION,
  isStateless,
  PROTOCOL_VERSION,
} from "./versions.ts";

/** Silence in milliseconds after `server/discover` before `initialize` is tried too. */
const DISCOVER_QUIET_MS = 5_000;

/** The relay where it is a client itself. */
export const CLIENT = { name: "nfrx-mcp", version: VERSION };

/** The parameters of `server/discover`. */
export const discover = (version: string = FIRST_STATELESS_VERSION): object => ({
  _meta: { [PROTOCOL_VERSION]: version, [CLIENT_INFO]: CLIENT, [CLIENT_CAPABILITIES]: {} },
});

/** The stateless versions in the response to `server/discover`, or in the error that lists the supported versions. */
export function statelessVersionsOf(answer: Message): string[] {
  const unsupported = at(answer.value, "error", "code") === UNSUPPORTED_VERSION;
  const named = unsupported
    ? at(answer.value, "error", "data", "supported")
    : at(answer.value, "result", "supportedVersions");
  if (!Array.isArray(named)) return [];
  return named.filter((version): version is string => typeof version === "string" && isStateless(version));
}

/** The ways to ask one server. */
export interface Questions {
  discover(signal: AbortSignal): Promise<Message>;
  handshake(signal: AbortSignal): Promise<void>;
}

/**
 * The response to `server/discover`. Some servers ignore unknown methods and look like a server that is still starting:
 * after a while a handshake is tried too, whose result is `shaken`. If it arrives first, there is no response.
 */
export async function firstWord(
  { clock, initTimeoutMs }: { clock: Clock; initTimeoutMs: number },
  signal: AbortSignal,
  questions: Questions,
): Promise<{ answer?: Message; shaken?: Promise<void> }> {
  const quiet = Promise.withResolvers<undefined>();
  const quietMs = Math.min(DISCOVER_QUIET_MS, initTimeoutMs / 2);
  const timer = clock.after(quietMs, () => quiet.resolve(undefined), true);
  const asked = questions.discover(signal);
  try {
    const early = await Promise.race([asked, quiet.promise]);
    if (early !== undefined) return { answer: early };
    const shaken = questions.handshake(signal);
    const settled = shaken.then(
      () => undefined,
      () => undefined,
    );
    asked.catch(() => {});
    const answer = await Promise.race([asked, settled]);
    return answer === undefined ? { shaken } : { answer, shaken };
  } finally {
    timer.cancel();
  }
}
