import { expect, test } from "bun:test";
import { controlTokenDir } from "../../../src/config/paths.ts";

const user = { HOME: "/home/ann" };

test.each([
  ["an ordinary user", "linux", user, "/etc/nfrx/worker.yaml", false, "/home/ann/.local/state/nfrx"],
  [
    "a state directory of its own",
    "linux",
    { ...user, XDG_STATE_HOME: "/st" },
    "/etc/nfrx/worker.yaml",
    false,
    "/st/nfrx",
  ],
  ["a token that already exists", "linux", user, "/etc/nfrx/worker.yaml", true, "/etc/nfrx"],
  ["a file that the user named", "linux", user, "/home/ann/nfrx/worker.yaml", false, "/home/ann/nfrx"],
  ["root", "linux", { HOME: "/root" }, "/etc/nfrx/worker.yaml", false, "/etc/nfrx"],
  ["nobody's home", "linux", {}, "/etc/nfrx/worker.yaml", false, "/etc/nfrx"],
  [
    "systemd",
    "linux",
    { ...user, STATE_DIRECTORY: "/var/lib/nfrx:/x" },
    "/etc/nfrx/worker.yaml",
    true,
    "/var/lib/nfrx",
  ],
  [
    "macOS",
    "darwin",
    user,
    "/Users/ann/Library/Application Support/nfrx/worker.yaml",
    false,
    "/Users/ann/Library/Application Support/nfrx",
  ],
  ["Windows", "win32", user, "C:\\ProgramData\\nfrx\\worker.yaml", false, "C:\\ProgramData\\nfrx"],
] as const)("the control token of %s", (_, platform, env, file, isThere, folder) => {
  expect(controlTokenDir({ platform, env }, file, () => isThere)).toBe(folder);
});
