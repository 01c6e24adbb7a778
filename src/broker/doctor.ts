// `doctor` of a broker: its keys, its addresses, its certificate, its folders, and the broker that runs, if one does.
import { dirname } from "node:path";
import type { brokerOptions } from "../config/broker.ts";
import type { Values } from "../config/group.ts";
import { defaultJobsFile } from "../config/paths.ts";
import { day, validity } from "../lib/certificate.ts";
import { messageOf } from "../lib/errors.ts";
import { checkDescriptors } from "../lib/file-descriptors.ts";
import { type Finding, fail, ok, warn } from "../lib/findings.ts";
import { checkAddress, checkConfig, checkFolder } from "../lib/machine-checks.ts";
import { MEMORY } from "../lib/open-sqlite.ts";
import { isLoopback } from "../lib/origin-guard.ts";
import { readTls } from "../lib/pem.ts";
import { howToOpen, reachOf } from "./listen/reach.ts";
import { relayFindings } from "./relay/guard-findings.ts";

export interface BrokerExamination {
  config: { path: string; found: boolean };
  values: Values<typeof brokerOptions>;
}

const DAY_MS = 24 * 3_600_000;
/** Milliseconds before its end in which a certificate should have been renewed. */
const RENEW_MS = 14 * DAY_MS;
/** Minimum length of a key that counts as hard to guess, in characters. */
const KEY_LENGTH = 16;
/** Timeout of a query to a running broker, in milliseconds. */
const ASK_MS = 5_000;

/** Looks at everything once, in the order in which it would fail. */
export async function* examineBroker({ config, values }: BrokerExamination): AsyncGenerator<Finding> {
  yield checkConfig(config, "nfrx");
  yield* keys(values);
  const names = examineNames(values);
  if (names !== undefined) yield names;
  const certificate = examineCertificate(values);
  if (certificate !== undefined) yield certificate;
  const reach = reachOf(values);
  if (reach.narrowed) yield warn("address", howToOpen(reach));
  const { host, port } = reach;
  const { metricsAddress } = values;
  const running = await Running.find(values);
  yield await checkAddress("address", { host, port }, "PORT", async () => running?.text);
  if (metricsAddress !== undefined && metricsAddress.port !== port)
    yield await checkAddress("metrics", metricsAddress, "METRICS_PORT", async () =>
      running === undefined ? undefined : "in use by the running broker",
    );
  if (values.jobsStore !== MEMORY) {
    const file = values.jobsStore || defaultJobsFile(process);
    yield checkFolder("jobs", dirname(file), "JOBS_STORE");
  }
  yield* checkDescriptors();
  yield checkFolder("uploads", values.uploadSpoolDir, "UPLOAD_SPOOL_DIR");
  if (running !== undefined) yield* running.examine();
}

function* keys(values: BrokerExamination["values"]): Generator<Finding> {
  const { apiKey, clientKey, adminKey, apiHttpRoles, clientHttpRoles } = values;
  const all = [
    { name: "API_KEY", key: apiKey, roles: apiHttpRoles, open: "anyone can use the models" },
    { name: "CLIENT_KEY", key: clientKey, roles: clientHttpRoles, open: "anyone can connect an agent" },
    { name: "ADMIN_KEY", key: adminKey, roles: [], open: undefined },
  ];
  let well = true;
  for (const { name, key, roles, open } of all) {
    const problem =
      key !== undefined
        ? key.length < KEY_LENGTH && `${name} is short enough to be guessed; use a longer one`
        : open !== undefined && roles.length === 0 && `${open}: set ${name}`;
    if (problem === false) continue;
    well = false;
    yield warn("keys", problem);
  }
  for (const [one, other, risk] of [
    ["API_KEY", "CLIENT_KEY", "every caller can connect an agent"],
    ["API_KEY", "ADMIN_KEY", "every caller has operator rights"],
    ["CLIENT_KEY", "ADMIN_KEY", "every agent has operator rights"],
  ] as const) {
    const [first, second] = [one, other].map(name => all.find(key => key.name === name)?.key);
    if (first === undefined || first !== second) continue;
    well = false;
    yield warn("keys", `${one} and ${other} are equal, so ${risk}: set different keys`);
  }
  if (!well) return;
  yield ok("keys", "all keys are set and different");
  if (adminKey === undefined) yield ok("keys", "ADMIN_KEY is not set: operator actions are off");
}

/** Whether callers reach MCP relays by a public name, where a proxy stands in front. */
function examineNames(values: BrokerExamination["values"]): Finding | undefined {
  const { publicUrl, allowedHosts } = values;
  const { host } = reachOf(values);
  if (publicUrl !== undefined) return ok("names", `callers use ${publicUrl}`);
  if (!isLoopback(host) || allowedHosts.length > 0) return undefined;
  return warn(
    "names",
    `a broker on ${host} rejects public host names; behind a proxy, set PUBLIC_URL (or ALLOWED_HOSTS) to the public name`,
  );
}

function examineCertificate({ tlsCertFile, tlsKeyFile }: BrokerExamination["values"]): Finding | undefined {
  if (tlsCertFile === undefined || tlsKeyFile === undefined) return undefined;
  try {
    const { cert } = readTls({ certFile: tlsCertFile, keyFile: tlsKeyFile });
    const { from, to } = validity(cert);
    const now = Date.now();
    if (now > to)
      return fail("certificate", `${tlsCertFile} expired on ${day(to)}: renew it, or correct this machine's clock`);
    if (now < from)
      return fail("certificate", `${tlsCertFile} is not valid before ${day(from)}: correct this machine's clock`);
    if (now > to - RENEW_MS) return warn("certificate", `${tlsCertFile} expires on ${day(to)}: renew it`);
    return ok("certificate", `${tlsCertFile} is valid until ${day(to)} and matches its key`);
  } catch (error) {
    return fail("certificate", messageOf(error));
  }
}

/** Why the broker that runs with these options does not serve; undefined when it does. */
export async function brokerTrouble(values: BrokerExamination["values"]): Promise<string | undefined> {
  const running = await Running.find(values);
  return running === undefined ? `no broker responds at port ${values.port}` : running.trouble;
}

/** A broker that serves already at the address of this one. */
class Running {
  private constructor(
    private readonly origin: string,
    private readonly apiKey: string | undefined,
  ) {}

  static async find(values: BrokerExamination["values"]): Promise<Running | undefined> {
    const { port, tlsCertFile, apiKey } = values;
    const { host } = reachOf(values);
    if (port === 0) return undefined;
    const local =
      host === "" || host === "0.0.0.0" || host === "::" ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
    const running = new Running(`${tlsCertFile === undefined ? "http" : "https"}://${local}:${port}`, apiKey);
    const health = await running.#get("/healthz");
    const status = /"status"\s*:\s*"(ok|unavailable)"/.exec((await health?.text()) ?? "")?.[1];
    if (status === undefined) return undefined;
    if (status === "unavailable") running.trouble = "the broker is draining, or has no worker";
    return running;
  }

  /** Why it does not serve. */
  trouble: string | undefined;

  readonly text = "a broker is running there";

  async *examine(): AsyncGenerator<Finding> {
    const state = await this.#get("/api/state");
    if (state?.status === 401 || state?.status === 403) {
      await state.body?.cancel();
      yield warn("running", "the running broker rejects this API_KEY: it was started with another configuration");
      return;
    }
    const ready = await this.#get("/readyz");
    const shown: unknown = state?.status === 200 ? await state.json() : await state?.body?.cancel();
    const answer = ready === undefined ? "" : await ready.text();
    const reason = /"reason"\s*:\s*"([^"]*)"/.exec(answer)?.[1] ?? "";
    yield ready?.status === 200 ? ok("running", `ready: ${reason}`) : warn("running", `not ready: ${reason}`);
    yield* relayFindings(shown);
  }

  /** A response of the broker on this machine, whatever name its certificate has; undefined if there is none. */
  async #get(path: string): Promise<Response | undefined> {
    try {
      return await fetch(this.origin + path, {
        signal: AbortSignal.timeout(ASK_MS),
        tls: { rejectUnauthorized: false },
        ...(this.apiKey !== undefined && { headers: { authorization: `Bearer ${this.apiKey}` } }),
      });
    } catch {
      return undefined;
    }
  }
}
