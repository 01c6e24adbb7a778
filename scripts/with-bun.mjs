// Runs `bun <arguments>` with the pinned Bun from npm, installing the locked packages first when they are missing
// or older than the lock file. Plain Node, so that a machine with nothing but Node and npm can start here.
import { spawn, spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = join(dirname(fileURLToPath(import.meta.url)), "..");
const windows = process.platform === "win32";
const modules = join(root, "node_modules");
const bun = join(modules, ".bin", windows ? "bun.exe" : "bun");

/** npm writes this file last, so it is newer than the lock file exactly when the installation is complete and current. */
function installed() {
  const stamp = join(modules, ".package-lock.json");
  return existsSync(stamp) && statSync(stamp).mtimeMs >= statSync(join(root, "package-lock.json")).mtimeMs;
}

function must(command, args, shell = false) {
  const done = spawnSync(command, args, { cwd: root, stdio: "inherit", shell });
  if (done.status !== 0) {
    console.error(`${command} ${args.join(" ")} failed`);
    process.exit(done.status ?? 1);
  }
}

if (!installed()) must(windows ? "npm.cmd" : "npm", ["ci", "--no-audit", "--no-fund"], windows);

// Some npm set-ups skip the install scripts of packages; Bun's own is what puts the executable in its place.
if (spawnSync(bun, ["--version"], { stdio: "ignore" }).status !== 0) {
  must(process.execPath, [join(modules, "bun", "install.js")]);
}

const child = spawn(bun, process.argv.slice(2), { cwd: root, stdio: "inherit" });
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => child.kill(signal));
child.on("exit", (code, signal) => process.exit(code ?? (signal === null ? 1 : 128)));
child.on("error", error => {
  console.error(`cannot start ${bun}: ${error.message}`);
  process.exit(1);
});
