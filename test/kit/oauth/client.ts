import { expect } from "bun:test";
import { type OAuthOptions, oauthCredentials } from "../../../src/agent/providers/oauth.ts";
import { NfrxError } from "../../../src/lib/errors.ts";
import { TestClock } from "../time/clock.ts";
import { until } from "../time/until.ts";
import { CLIENT, Lines, type TokenServer } from "./server.ts";

/** What no log and no error may hold. */
export const SECRETS = /s3cret|token-\d|refresh-\d|Basic /;

/** The credentials of CLIENT, on a clock of its own. */
export class Client {
  readonly log = new Lines();
  readonly credentials: ReturnType<typeof oauthCredentials>;

  constructor(
    server: Pick<TokenServer, "url">,
    options: Partial<OAuthOptions> = {},
    readonly clock: TestClock = new TestClock(),
  ) {
    const rest = { scopes: [], tokenFile: undefined, random: () => 0.5, clock, log: this.log };
    this.credentials = oauthCredentials({ tokenUrl: server.url, ...CLIENT, ...rest, ...options });
  }

  /** The token that it brings. */
  async token(refused = false): Promise<string> {
    const [[name, value] = []] = await until(this.credentials(refused), "the credentials");
    expect(name).toBe("authorization");
    return (value ?? "").replace(/^Bearer /, "");
  }

  /** Why it brings none. Nothing that it says of that, or logs, holds a secret. */
  async failure(refused = false): Promise<NfrxError> {
    const error = await this.token(refused).then(
      token => new Error(`got ${token}`),
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof NfrxError)) throw error;
    expect(error.detail.cause).toBeUndefined();
    for (const text of [error.message, this.log.text]) expect(text).not.toMatch(SECRETS);
    return error;
  }
}

/** Makes a server's answers come out of a list of functions, one after the other; then its own. */
export function inTurn(server: TokenServer, ...answers: (() => Response)[]): void {
  server.answer = () => answers.shift()?.();
}
