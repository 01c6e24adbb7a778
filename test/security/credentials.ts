// The ways in which a caller can bring a credential, and the credentials that there are.
import { API_KEY, CLIENT_KEY } from "../kit/world.ts";

export const ADMIN_KEY = "test-admin-key";
const API_ROLE = "callers";
const CLIENT_ROLE = "machines";
/** The one address whose `X-User-Roles` counts. */
const PROXY = "127.0.0.2";

/** The settings of a broker with a key for each door, and roles. */
export const DOORS = {
  ADMIN_KEY,
  API_HTTP_ROLES: API_ROLE,
  CLIENT_HTTP_ROLES: CLIENT_ROLE,
  TRUSTED_PROXIES: PROXY,
};

/** A name in the `security` of the API's document → the key that it stands for. */
export const SCHEME_KEY: Readonly<Record<string, string>> = { API_KEY, CLIENT_KEY, ADMIN_KEY };

/** One attempt to get in. */
export interface Attempt {
  readonly name: string;
  /** The key that it is worth; undefined when it is worth nothing. */
  readonly worth: string | undefined;
  readonly headers: readonly (readonly [string, string])[];
  /** Added to the address. */
  readonly query?: string;
  /** The key that is in the query: it counts only on a route whose documentation names the parameter `api_key`. */
  readonly queryKey?: string;
  /** The address that the connection comes from; undefined for one of its own. */
  readonly from?: string;
}

const KEYS = { API_KEY, CLIENT_KEY, ADMIN_KEY };
const WRONG = "wrong-key";

/** Each credential in each way that counts, and in those that must not; `more` are keys besides the broker's own, by their names. */
export function attempts(more: Readonly<Record<string, string>> = {}): Attempt[] {
  const all: Attempt[] = [{ name: "nothing", worth: undefined, headers: [] }];
  for (const [name, key] of Object.entries({ ...KEYS, ...more, "a wrong key": WRONG })) {
    const worth = key === WRONG ? undefined : key;
    all.push(
      { name: `${name} as bearer`, worth, headers: [["Authorization", `Bearer ${key}`]] },
      { name: `${name} as x-api-key`, worth, headers: [["X-Api-Key", key]] },
      { name: `${name} as api-key`, worth, headers: [["Api-Key", key]] },
      {
        name: `${name} as bearer beside a foreign x-api-key`,
        worth,
        headers: [
          ["Authorization", `Bearer ${key}`],
          ["X-Api-Key", "foreign"],
        ],
      },
      {
        name: `${name} as x-api-key beside a foreign bearer`,
        worth,
        headers: [
          ["Authorization", "Bearer foreign"],
          ["X-Api-Key", key],
        ],
      },
      {
        name: `${name} in the query`,
        worth: undefined,
        headers: [],
        query: `api_key=${key}&token=${key}&ticket=${key}`,
        queryKey: key,
      },
      { name: `${name} in a cookie`, worth: undefined, headers: [["Cookie", `token=${key}; Authorization=${key}`]] },
      { name: `${name} as Basic`, worth: undefined, headers: [["Authorization", `Basic ${btoa(`x:${key}`)}`]] },
      { name: `${name} without a scheme`, worth: undefined, headers: [["Authorization", key]] },
      { name: `half of ${name}`, worth: undefined, headers: [["Authorization", `Bearer ${key.slice(0, -1)}`]] },
      { name: `${name} and more`, worth: undefined, headers: [["Authorization", `Bearer ${key}x`]] },
    );
  }
  for (const [role, key] of [
    [API_ROLE, API_KEY],
    [CLIENT_ROLE, CLIENT_KEY],
    ["admin", undefined],
  ] as const) {
    all.push(
      { name: `the role ${role} from a trusted peer`, worth: key, headers: [["X-User-Roles", role]], from: PROXY },
      { name: `the role ${role} from anybody else`, worth: undefined, headers: [["X-User-Roles", role]] },
      {
        name: `the role ${role} from one who claims to be trusted`,
        worth: undefined,
        headers: [
          ["X-User-Roles", role],
          ["X-Forwarded-For", PROXY],
          ["Forwarded", `for=${PROXY}`],
        ],
      },
    );
  }
  return all;
}
