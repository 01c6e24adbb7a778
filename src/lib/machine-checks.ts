// Checks of a machine that both ends need: files, folders, addresses.
import { existsSync, mkdtempSync, rmdirSync, statfsSync, statSync } from "node:fs";
import { connect, createServer } from "node:net";
import { dirname, join } from "node:path";
import { codeOf, messageOf } from "./errors.ts";
import { type Finding, fail, ok, warn } from "./findings.ts";

/** Minimum free disk space, in bytes. */
const FREE_BYTES = 64 * 1024 * 1024;
/** Timeout of a connection attempt, in milliseconds. */
const CONNECT_MS = 5_000;

/** A configuration file that may hold keys: there, and for its owner alone. */
export function checkConfig({ path, found }: { path: string; found: boolean }, program: string): Finding {
  if (!found) return ok("config", `no file at ${path}; using the environment and the defaults`);
  const open = process.platform !== "win32" && (statSync(path).mode & 0o004) !== 0;
  return open
    ? warn("config", `every user of this machine can read ${path} and the keys in it: chmod 640 ${path}`)
    : ok("config", `${path} is valid for ${program}`);
}

/** A folder that files are to be written to. One that is missing is not made: its parent is looked at instead. */
export function checkFolder(subject: string, folder: string, option: string): Finding {
  let there = folder;
  while (!existsSync(there) && dirname(there) !== there) there = dirname(there);
  try {
    rmdirSync(mkdtempSync(join(there, ".nfrx-check-")));
  } catch (error) {
    const full = codeOf(error) === "ENOSPC";
    return fail(
      subject,
      full ? fullDisk(folder, 0, option) : `cannot write to ${folder}: ${messageOf(error)}; set ${option}`,
    );
  }
  const { bavail, bsize } = statfsSync(there);
  const free = bavail * bsize;
  return free < FREE_BYTES
    ? fail(subject, fullDisk(folder, free, option))
    : ok(subject, there === folder ? `${folder} is writable` : `${folder} can be created`);
}

function fullDisk(folder: string, free: number, option: string): string {
  return `the disk of ${folder} is full (${Math.floor(free / 1024 / 1024)} MiB left): free some space, or set ${option}`;
}

/** Why nothing can listen at an address; undefined when it is free. An empty host is every interface. */
function whyTaken(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const server = createServer();
  server.once("error", error => resolve(codeOf(error) || messageOf(error)));
  server.listen({ port, exclusive: true, ...(host !== "" && { host }) }, () => server.close(() => resolve(undefined)));
  return promise;
}

/** Checks a listen address. `own`: this program already listens there. */
export async function checkAddress(
  subject: string,
  { host, port }: { host: string; port: number },
  option: string,
  own: () => Promise<string | undefined>,
): Promise<Finding> {
  if (port === 0) return ok(subject, "any free port");
  const why = await whyTaken(host, port);
  const where = `${host || "every interface"}, port ${port}`;
  if (why === undefined) return ok(subject, `${where} is free`);
  if (why === "EADDRINUSE") {
    const mine = await own();
    if (mine !== undefined) return ok(subject, mine);
    return fail(subject, `port ${port} is in use by another program: stop it (ss -ltnp shows which), or set ${option}`);
  }
  if (why === "EACCES")
    return fail(
      subject,
      `no permission to use port ${port}: ports below 1024 need root or CAP_NET_BIND_SERVICE; or set ${option}`,
    );
  return fail(subject, `cannot listen at ${where}: ${why}; correct ${option}`);
}

/** The reason why a TCP connection fails; undefined if it succeeds. */
export function whyUnreachable(host: string, port: number): Promise<string | undefined> {
  const { promise, resolve } = Promise.withResolvers<string | undefined>();
  const socket = connect({ host, port });
  const timer = setTimeout(() => end("ETIMEDOUT"), CONNECT_MS);
  const end = (why: string | undefined): void => {
    clearTimeout(timer);
    socket.destroy();
    resolve(why);
  };
  socket.once("connect", () => end(undefined));
  socket.once("error", error => end(codeOf(error) || messageOf(error)));
  return promise;
}
