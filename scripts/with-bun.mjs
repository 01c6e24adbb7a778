// Runs `bun <arguments>` with the pinned Bun from npm, installing the locked packages first when they are missing
// or older than the lock file. Plain Node, so that a machine with nothing but Node and npm can start here.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { constants } from "node:os";
import { dirname, join } from "node:path";
import { isatty } from "node:tty";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const modules = join(root, "node_modules");
const bun = join(modules, "bun", "bin", "bun.exe"); // its name on every system

/** npm writes this file last, so it is newer than the lock file exactly when the installation is complete and current. */
function installed() {
  const stamp = join(modules, ".package-lock.json");
  return existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

/** Runs a preparation with its chatter on stderr: stdout belongs to the program. */
function must(title, command, args, options) {
  const done = spawnSync(command, args, { cwd: root, stdio: ["ignore", process.stderr, "inherit"], ...options });
  if (done.status === 0) return;
  console.error(`${title} failed${done.error ? `: ${done.error.message}` : ""}`);
  process.exit(done.status ?? 1);
}

if (!installed()) {
  // Bun is a development package and its runtime an optional one: a machine set to leave those out needs them too.
  const line = "npm ci --include=dev --include=optional --no-audit --no-fund";
  must(line, line, [], { shell: true }); // a shell, because npm is a .cmd on Windows
}

// npm can be set to skip packages' install scripts; Bun's own is what puts the executable in its place.
if (spawnSync(bun, ["--version"], { stdio: "ignore" }).status !== 0) {
  must("installing Bun", process.execPath, [join(modules, "bun", "install.js")]);
}

const child = spawn(bun, process.argv.slice(2), { cwd: root, stdio: "inherit" });
child.on("error", error => {
  console.error(`cannot start ${bun}: ${error.message}`);
  process.exit(1);
});

let told = false;
function tell(signal) {
  told = true;
  child.kill(signal);
}

// Ctrl-C reaches the child from the terminal itself; once more from here would be its second signal.
const terminal = [0, 1, 2].some(isatty);
const forwarded = ["SIGINT", "SIGTERM", "SIGHUP"];
for (const signal of forwarded) {
  process.on(signal, () => {
    if (!(terminal && signal === "SIGINT")) tell(signal);
  });
}

// npm hands a signal to its shell, and most shells die of it without handing it on: an orphan counts as told to end.
if (process.env.npm_lifecycle_event) {
  const parent = process.ppid;
  const watch = () => {
    if (!told && process.ppid !== parent) tell("SIGTERM");
  };
  setInterval(watch, 500).unref();
}

child.on("exit", (code, signal) => {
  if (signal === null) process.exit(code ?? 1);
  process.exitCode = 128 + constants.signals[signal];
  if (!forwarded.includes(signal)) return;
  process.removeAllListeners(signal); // die of it as the child did
  process.kill(process.pid, signal);
});
