// The token of a provider that is protected by OAuth.
import { NfrxError, toNfrxError } from "../../lib/errors.ts";
import type { HeaderPairs } from "../../lib/http.ts";
import type { Logger } from "../../lib/log.ts";
import { Backoff, type Clock } from "../../lib/time.ts";
import { type KeptToken, TokenFile } from "./token-file.ts";
import { TokenClient, type TokenServer } from "./token-request.ts";

/** Time in milliseconds to get a token, over all requests. */
const TOKEN_MS = 15_000;
/** Minimum interval between two token requests, in milliseconds, whatever lifetime the provider states. */
const REQUEST_GAP_MS = 5_000;
/** Time in milliseconds before expiry at which a token is renewed; a tenth of the lifetime for short-lived tokens. */
const MARGIN_MS = 30_000;

export interface OAuthOptions extends TokenServer {
  /** Keeps the token between runs. */
  tokenFile: string | undefined;
  clock: Clock;
  log: Logger;
  /** For the jitter of the backoff. */
  random?: () => number;
}

/**
 * The credentials of requests to a provider: a bearer token, by the client credentials grant or a refresh token. The
 * function that is returned is called before each request, and once more, with `refused`, when the provider answered 401
 * with what it gave last.
 *
 * However many ask at once, one request for a token is under way; and none comes sooner than some seconds after the last,
 * so that a provider that refuses everything does not become a storm at the token server. Until then it gives the token
 * it has, or rejects as the last request did. It rejects with an NfrxError that holds no secret.
 */
export function oauthCredentials(options: OAuthOptions): (refused: boolean) => Promise<HeaderPairs> {
  const tokens = new Tokens(options);
  return async refused => [["authorization", `Bearer ${await tokens.get(refused)}`]];
}

class Tokens {
  readonly #client: TokenClient;
  readonly #file: TokenFile | undefined;
  #held: KeptToken | undefined;
  #renewal: Promise<string> | undefined;
  /** Set while the last request for a token has failed. */
  #failure: NfrxError | undefined;
  /** The earliest time of the next request. */
  #nextAt = Number.NEGATIVE_INFINITY;
  #backoff: Backoff;

  constructor(private readonly options: OAuthOptions) {
    const { tokenFile, log, random } = options;
    this.#client = new TokenClient(options, log);
    this.#file = tokenFile === undefined ? undefined : new TokenFile(tokenFile, options, log);
    this.#held = this.#file?.read();
    this.#backoff = new Backoff(random);
  }

  async get(refused: boolean): Promise<string> {
    const held = this.#held;
    const { clock } = this.options;
    if (held !== undefined && !refused && clock.wall() < renewAt(held)) return held.access_token;
    try {
      return await this.#renew();
    } catch (error) {
      // In its last seconds a token is as good as before.
      if (held?.expires_at !== undefined && !refused && clock.wall() < held.expires_at) return held.access_token;
      throw error;
    }
  }

  async #renew(): Promise<string> {
    if (this.#renewal === undefined) {
      const waitMs = this.#nextAt - this.options.clock.now();
      if (waitMs > 0 && this.#failure !== undefined) throw later(this.#failure, waitMs);
      if (waitMs > 0 && this.#held !== undefined) return this.#held.access_token;
      this.#renewal = this.#request().finally(() => {
        this.#renewal = undefined;
      });
    }
    return this.#renewal;
  }

  async #request(): Promise<string> {
    const { clock, log, random } = this.options;
    const abort = new AbortController();
    const timer = clock.after(TOKEN_MS, () => abort.abort(), true);
    // Its lifetime starts before the request, so that it is never overestimated.
    const obtained_at = clock.wall();
    try {
      const { accessToken, refreshToken, lifetimeMs } = await this.#client.request(
        this.#held?.refresh_token,
        abort.signal,
      );
      this.#held = {
        access_token: accessToken,
        ...(refreshToken !== undefined && { refresh_token: refreshToken }),
        obtained_at,
        ...(lifetimeMs !== undefined && { expires_at: obtained_at + lifetimeMs }),
      };
      this.#failure = undefined;
      this.#backoff = new Backoff(random);
      this.#nextAt = clock.now() + REQUEST_GAP_MS;
      log.info({ lifetime_ms: lifetimeMs }, "received a token for the provider");
    } catch (error) {
      this.#failure = toNfrxError(error);
      const askedMs = (this.#failure.detail.retryAfterSeconds ?? 0) * 1000;
      const waitMs = Math.max(REQUEST_GAP_MS, askedMs, this.#backoff.next());
      this.#nextAt = clock.now() + waitMs;
      // The next request uses the client's own credentials, in case this token causes the failure.
      delete this.#held?.refresh_token;
      log.warn({ url: this.#address(), error: this.#failure.message, again_ms: waitMs }, "no token for the provider");
      throw later(this.#failure, waitMs);
    } finally {
      timer.cancel();
    }
    await this.#file?.write(this.#held);
    return this.#held.access_token;
  }

  /** Where the tokens come from, for people: an address may hold secrets before its host and after its path. */
  #address(): string {
    const { protocol, host, pathname } = new URL(this.options.tokenUrl);
    return `${protocol}//${host}${pathname}`;
  }
}

/** The time at which to renew a token; never if its lifetime is unknown. */
function renewAt({ obtained_at, expires_at }: KeptToken): number {
  if (expires_at === undefined) return Number.POSITIVE_INFINITY;
  return expires_at - Math.min(MARGIN_MS, (expires_at - obtained_at) / 10);
}

/** The same failure, with the time after which it may be another. */
function later({ code, message }: NfrxError, waitMs: number): NfrxError {
  return new NfrxError(code, message, { retryAfterSeconds: Math.ceil(waitMs / 1000) });
}
