// Authentication of a relay's callers.
import { NfrxError } from "../../lib/errors.ts";
import type { Requirement } from "../../modules/route.ts";
import type { RelayGuard } from "../../modules/state.ts";
import { MCP, PUBLIC } from "../http/access/authenticator.ts";
import type { Directory, WorkerRecord } from "../pool/directory.ts";

export interface CallerAdmissionOptions {
  directory: Directory;
  /** Callers of every relay bring the API key too. */
  requireApiKey: boolean;
  /** Relays may ask to be open. */
  allowOpen: boolean;
}

/**
 * Decides who may call a relay. One with a token is reached with it, one without with the API key or a role, and one that
 * asks to be open is, where the broker allows that. A relay of the 0.9 series does not say whether it has a token, so it is
 * reached with the API key, and judges a token itself.
 */
export class CallerAdmission {
  constructor(private readonly options: CallerAdmissionOptions) {}

  guardOf({ tokenDigest, asksToBeOpen }: WorkerRecord): RelayGuard {
    if (tokenDigest !== undefined) return "token";
    return asksToBeOpen && this.options.allowOpen ? "open" : "api_key";
  }

  /**
   * The credentials that a request to this relay needs: those that each connected one asks for, as any of those that share an id may get
   * it. Throws `provider_unavailable` when no relay of this id is connected.
   */
  requirementOf(relayId: string): Requirement {
    const { directory, requireApiKey } = this.options;
    const workers = directory.records(relayId);
    if (workers.length === 0) throw noRelay();
    const byKey = requireApiKey || workers.some(worker => this.guardOf(worker) === "api_key");
    return { scopes: byKey ? [MCP] : [PUBLIC], tokens: workers.flatMap(({ tokenDigest }) => tokenDigest ?? []) };
  }
}

/** Retry-After of a rejected request, in seconds. */
export const RETRY_AFTER_S = 5;

/** The error for an id that no connected relay has. */
export function noRelay(): NfrxError {
  return new NfrxError("provider_unavailable", "no relay of this id is connected", {
    retryAfterSeconds: RETRY_AFTER_S,
  });
}
