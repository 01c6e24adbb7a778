// The server of examples/mcp, on FastMCP.
import { dirname, join } from "node:path";
import type { McpProvider, Reach } from "../kit/mcp/tunnel.ts";
import { until } from "../kit/time/until.ts";

const named = process.env["NFRX_PYTHON"];
const python = named ?? "python3";
const script = join(import.meta.dir, "..", "..", "examples", "mcp", "server.py");

/** No colours, no banner, no look for newer versions. */
const env = {
  PATH: process.env["PATH"],
  NO_COLOR: "1",
  FASTMCP_SHOW_SERVER_BANNER: "false",
  FASTMCP_CHECK_FOR_UPDATES: "off",
};

function installed(): boolean {
  try {
    return Bun.spawnSync([python, "-c", "import fastmcp"], { stdout: "ignore", stderr: "ignore" }).success;
  } catch {
    return false;
  }
}

// A named interpreter must do, and so must any on the machine that checks everything.
export const hasFastMcp = named !== undefined || process.env["CI"] === "true" || installed();

/** Starts it over HTTP at a free port. */
export async function startFastMcp(): Promise<Reach> {
  const child = Bun.spawn([python, script], {
    env: { ...env, FASTMCP_PORT: "0" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stop = async () => {
    child.kill("SIGKILL");
    await child.exited;
  };
  const { promise: origin, resolve, reject } = Promise.withResolvers<string>();
  const read = async () => {
    let log = "";
    const decoder = new TextDecoder();
    for await (const bytes of child.stderr) {
      log += decoder.decode(bytes, { stream: true });
      const found = /running on (http:\/\/127\.0\.0\.1:\d+)\s/.exec(log)?.[1];
      if (found !== undefined) resolve(found);
    }
    reject(new Error(`the FastMCP server ended\n${log}`));
  };
  read().catch(reject);
  try {
    return { url: `${await until(origin, "FastMCP to listen", 30_000)}/mcp`, [Symbol.asyncDispose]: stop };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}

/** The command that starts it over stdio. */
export const fastMcpStdio: McpProvider = {
  stdio: [join(dirname(Bun.which(python) ?? python), "fastmcp"), "run", script, "--transport", "stdio", "--no-banner"],
};
