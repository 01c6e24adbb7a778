import { expect, test } from "bun:test";
import { controlSockets } from "../../../src/config/paths.ts";

test.each([
  ["systemd", "linux", { RUNTIME_DIRECTORY: "/run/nfrx:/run/x" }, ["/run/nfrx/nfrx.sock", "/run/nfrx/nfrx.sock"]],
  ["a user", "linux", { XDG_RUNTIME_DIR: "/run/user/7" }, ["/run/user/7/nfrx/nfrx.sock", "/run/nfrx/nfrx.sock"]],
  ["root", "linux", { HOME: "/root" }, ["/run/nfrx/nfrx.sock"]],
  [
    "macOS",
    "darwin",
    { HOME: "/Users/ann" },
    ["/var/run/nfrx/nfrx.sock", "/Users/ann/Library/Application Support/nfrx/nfrx.sock"],
  ],
  ["Windows", "win32", { HOME: "x" }, []],
] as const)("the control socket of %s", (_, platform, env, paths) => {
  expect(controlSockets({ platform, env })).toEqual([...paths]);
});
