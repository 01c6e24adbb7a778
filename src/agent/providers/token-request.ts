// One request to a token server, by way of oauth4webapi.
import * as oauth from "oauth4webapi";
import { bytesUpTo } from "../../lib/bytes.ts";
import { codeOf, NfrxError } from "../../lib/errors.ts";
import type { Logger } from "../../lib/log.ts";

/** Maximum response of a token server, in bytes. */
const ANSWER_BYTES = 64 * 1024;
/** Maximum Retry-After of a token server, in seconds; longer times are cut. */
const RETRY_AFTER_MAX_S = 300;
/** Maximum length of a token server's explanation in the log, in characters. */
const EXPLANATION_MAX = 300;

/** Characters that are valid in an HTTP header, without spaces: those of a token. */
export const HEADER_TOKEN = /^[\x21-\x7e]+$/;

export interface TokenServer {
  tokenUrl: string;
  clientId: string;
  /** Missing for a client that only names itself. */
  clientSecret: string | undefined;
  scopes: readonly string[];
}

/** A token from the server. */
export interface Grant {
  accessToken: string;
  refreshToken: string | undefined;
  /** Undefined if the server did not state it. */
  lifetimeMs: number | undefined;
}

/** A refusal of a token server. */
interface TokenRefusal {
  status: number;
  /** The error code of RFC 6749, section 5.2, if sent. */
  word: string | undefined;
  explanation: string | undefined;
}

/** Refusals of authenticated clients: another authentication method would not help. */
const PROVEN = new Set(["invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"]);

/**
 * Requests tokens from a server. Errors are NfrxErrors with messages that are safe to display: `upstream_error` if the
 * server refuses or sends no token, `provider_unavailable` if it cannot be reached now. The server's explanation is
 * logged; neither contains a secret.
 */
export class TokenClient {
  readonly #server: oauth.AuthorizationServer;
  readonly #client: oauth.Client;
  /** The client authentication methods; the last one that worked comes first. */
  readonly #proofs: oauth.ClientAuth[];

  constructor(
    private readonly options: TokenServer,
    private readonly log: Logger,
  ) {
    const { tokenUrl, clientId, clientSecret } = options;
    this.#server = { issuer: new URL(tokenUrl).origin, token_endpoint: tokenUrl };
    this.#client = { client_id: clientId };
    // Every server must take the first and many take only the second (RFC 6749, section 2.3.1).
    this.#proofs =
      clientSecret === undefined ? [oauth.None()] : [basic(clientSecret), oauth.ClientSecretPost(clientSecret)];
  }

  /** A token for the refresh token, or for the client's own credentials when there is none or the server refuses it. */
  async request(refreshToken: string | undefined, signal: AbortSignal): Promise<Grant> {
    if (refreshToken !== undefined) {
      const renewed = await this.#prove(refreshToken, signal);
      // A server that keeps the refresh token as it is need not repeat it.
      if (isGrant(renewed)) return { ...renewed, refreshToken: renewed.refreshToken ?? refreshToken };
      this.#tell(renewed, "the token server rejected the refresh token", refreshToken);
    }
    const grant = await this.#prove(undefined, signal);
    if (isGrant(grant)) return grant;
    this.#tell(grant, "the token server refused to issue a token");
    const what = grant.word ?? `status ${grant.status}`;
    throw new NfrxError("upstream_error", `the provider's token server refused to issue a token: ${what}`);
  }

  /**
   * Requests a token, and retries with another authentication method if the first one may be the reason of the refusal.
   */
  async #prove(refreshToken: string | undefined, signal: AbortSignal): Promise<Grant | TokenRefusal> {
    const [first = oauth.None(), second] = this.#proofs;
    const answer = await this.#ask(first, refreshToken, signal);
    if (second === undefined || isGrant(answer) || PROVEN.has(answer.word ?? "")) return answer;
    const other = await this.#ask(second, refreshToken, signal);
    if (isGrant(other) || PROVEN.has(other.word ?? "")) {
      this.#proofs.reverse();
      return other;
    }
    // Both were refused: the response to the mandatory method is more informative.
    return answer;
  }

  async #ask(
    proof: oauth.ClientAuth,
    refreshToken: string | undefined,
    signal: AbortSignal,
  ): Promise<Grant | TokenRefusal> {
    let status = 0;
    const options = {
      signal,
      // The options have let through only addresses where this is safe.
      [oauth.allowInsecureRequests]: true,
      [oauth.customFetch]: async (url: string, init: oauth.CustomFetchOptions<"POST", URLSearchParams>) => {
        const response = await this.#send(url, init);
        status = response.status;
        return response;
      },
    };
    const { scopes } = this.options;
    try {
      const response =
        refreshToken === undefined
          ? await oauth.clientCredentialsGrantRequest(
              this.#server,
              this.#client,
              proof,
              scopes.length === 0 ? {} : { scope: scopes.join(" ") },
              options,
            )
          : await oauth.refreshTokenGrantRequest(this.#server, this.#client, proof, refreshToken, options);
      return grantOf(await oauth.processGenericTokenEndpointResponse(this.#server, this.#client, response));
    } catch (error) {
      if (error instanceof NfrxError) throw error;
      if (error instanceof oauth.ResponseBodyError)
        return { status, word: wordOf(error.error), explanation: error.error_description };
      if (status >= 400) return { status, word: undefined, explanation: undefined };
      // The library's error is not forwarded: it may contain the response, and so the token.
      throw new NfrxError(
        "upstream_error",
        `the provider's token server responded with status ${status}, without a usable token`,
      );
    }
  }

  /** One POST and its complete response; the library gets the parts that we use. */
  async #send(url: string, init: oauth.CustomFetchOptions<"POST", URLSearchParams>): Promise<Response> {
    try {
      // A connection of its own: a pooled one may be closed by the server just when it is used again.
      const response = await fetch(url, { ...init, signal: init.signal ?? null, keepalive: false });
      const { status, headers } = response;
      const bytes = await bytesUpTo(ANSWER_BYTES, response.body);
      if (bytes === undefined)
        throw new NfrxError(
          "upstream_error",
          `the response of the provider's token server exceeds ${ANSWER_BYTES} bytes`,
        );
      if (status === 429 || status >= 500) throw unavailable(`responded with status ${status}`, retryAfter(headers));
      // Without its WWW-Authenticate, which would hide the error in the body.
      return new Response(relevant(bytes), { status, headers: { "content-type": "application/json" } });
    } catch (error) {
      if (error instanceof NfrxError) throw error;
      // Not its message, which may quote the address with all that is in it.
      throw unavailable(
        init.signal?.aborted ? "took too long to respond" : `cannot be reached (${codeOf(error) || "unknown reason"})`,
      );
    }
  }

  #tell({ status, word, explanation }: TokenRefusal, message: string, refreshToken?: string): void {
    const { clientSecret } = this.options;
    const safeExplanation = explanation === undefined ? undefined : harmless(explanation, [clientSecret, refreshToken]);
    this.log.warn({ status, oauth_error: word, explanation: safeExplanation }, message);
  }
}

/**
 * The client's ID and secret in an Authorization header. The library encodes `-` and `_` as %2D and %5F; servers that
 * do not decode would not recognize a UUID.
 */
function basic(clientSecret: string): oauth.ClientAuth {
  return (_server, { client_id }, _body, headers) => {
    headers.set("authorization", `Basic ${btoa(`${formEncoded(client_id)}:${formEncoded(clientSecret)}`)}`);
  };
}

function formEncoded(text: string): string {
  return new URLSearchParams([["", text]]).toString().slice(1);
}

/**
 * The response for the library: without null fields, which some servers send for "none", and without an ID token, which
 * was not requested and could only be checked against a configured issuer.
 */
function relevant(bytes: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | string {
  try {
    const answer: unknown = JSON.parse(Buffer.from(bytes).toString("utf8"));
    if (typeof answer !== "object" || answer === null || Array.isArray(answer)) return bytes;
    const members = Object.entries(answer).filter(([name, value]) => value !== null && name !== "id_token");
    return JSON.stringify(Object.fromEntries(members));
  } catch {
    return bytes;
  }
}

function grantOf({ access_token, token_type, refresh_token, expires_in }: oauth.TokenEndpointResponse): Grant {
  if (token_type !== "bearer" || !HEADER_TOKEN.test(access_token)) throw new Error("not a bearer token");
  return {
    accessToken: access_token,
    refreshToken: refresh_token,
    lifetimeMs: expires_in === undefined ? undefined : expires_in * 1000,
  };
}

function isGrant(answer: Grant | TokenRefusal): answer is Grant {
  return "accessToken" in answer;
}

/** The server's error code, if it is safe to display: nothing that could be a reflected secret. */
function wordOf(word: string): string | undefined {
  return WORDS.has(word) ? word : undefined;
}

/** RFC 6749, sections 5.2 and 4.1.2.1; RFC 8707, section 2; RFC 8628, section 3.5. */
const WORDS = new Set([
  ...PROVEN,
  "invalid_request",
  "invalid_client",
  "access_denied",
  "server_error",
  "temporarily_unavailable",
  "invalid_target",
  "slow_down",
]);

/** A server's text for the log, unless it holds one of the secrets in any form in which it was sent. */
function harmless(text: string, secrets: readonly (string | undefined)[]): string {
  const lower = text.toLowerCase();
  const holds = (form: string) => lower.includes(form.toLowerCase());
  const leaks = secrets.some(secret => secret !== undefined && [secret, formEncoded(secret)].some(holds));
  if (leaks || /\bbasic\s/.test(lower)) return "redacted: it contains a secret";
  return text.replace(/[^\x20-\x7e]/g, " ").slice(0, EXPLANATION_MAX);
}

function unavailable(what: string, retryAfterSeconds?: number): NfrxError {
  const detail = retryAfterSeconds === undefined ? {} : { retryAfterSeconds };
  return new NfrxError("provider_unavailable", `the provider's token server ${what}`, detail);
}

function retryAfter(headers: Headers): number | undefined {
  const value = headers.get("retry-after");
  return value !== null && /^\d+$/.test(value) ? Math.min(Number(value), RETRY_AFTER_MAX_S) : undefined;
}
