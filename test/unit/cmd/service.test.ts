// The service's own settings and group, as `doctor` and `init` see them.
import { describe, expect, test } from "bun:test";
import { nfrx, nfrxLlm } from "../../../cmd/programs.ts";
import { asService, parseEnvironment, serviceGroup } from "../../../cmd/service.ts";

const GROUPS = "root:x:0:\nnfrx2:x:7:\nnfrx:x:998:\n";

test("a file of root's goes to the services' group where there is one", () => {
  expect(serviceGroup(GROUPS, 0)).toBe(998);
  expect(serviceGroup(GROUPS, 1000)).toBeUndefined();
  expect(serviceGroup("root:x:0:\n", 0)).toBeUndefined();
});

test("environment files are read as systemd reads them", () => {
  expect(parseEnvironment("# A=1\n\n A=2\nB = 3\nC='4 5'\nD=\"6\nE=7=8 \n;F=9\n")).toEqual({
    A: "2",
    C: "4 5",
    D: '"6',
    E: "7=8",
  });
});

describe("doctor and health", () => {
  const host = (files: Record<string, string>, env = {}, platform: NodeJS.Platform = "linux") => ({
    argv: ["doctor"],
    env,
    platform,
    readFile(path: string) {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error("missing"), { code: "ENOENT" });
      return text;
    },
  });
  const files = {
    "/etc/nfrx/keys.env": "API_KEY=old\n",
    "/etc/nfrx/server.env": "# nothing set\n#PORT=1\n",
    "/etc/nfrx/worker.env": "SERVER_URL=wss://a.example\nCLIENT_KEY=b\n",
  };

  test("look with the settings that the unit gives the service", () => {
    const broker = asService(host(files), nfrx);
    expect([broker.host.env["API_KEY"], broker.files]).toEqual(["old", ["/etc/nfrx/keys.env"]]);
    const agent = asService(host(files, { CLIENT_KEY: "mine" }), nfrxLlm);
    expect([agent.host.env["SERVER_URL"], agent.host.env["CLIENT_KEY"]]).toEqual(["wss://a.example", "mine"]);
  });

  test("look with the process's own where there is no service", () => {
    expect(asService(host({}), nfrxLlm).files).toEqual([]);
    expect(asService(host(files, {}, "darwin"), nfrxLlm).host.env).toEqual({});
  });
});
