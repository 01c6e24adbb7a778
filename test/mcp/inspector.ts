// The MCP Inspector's command line, from the folder that `.ci/inspector` made.
import { join } from "node:path";
import { z } from "zod";
import { until } from "../kit/time/until.ts";

const folder = process.env["NFRX_INSPECTOR"];

// A named one must do, and there must be one on the machine that checks everything.
export const hasInspector = folder !== undefined || process.env["CI"] === "true";

const Tools = z.object({ result: z.object({ tools: z.array(z.object({ name: z.string() })) }) });
const Content = z.object({ result: z.object({ content: z.array(z.unknown()) }) });

export type Era = "legacy" | "modern";

async function inspect(url: string, era: Era, args: readonly string[]): Promise<unknown> {
  if (folder === undefined) throw new Error("NFRX_INSPECTOR must name the folder of the Inspector");
  const program = join(folder, "node_modules", "@modelcontextprotocol", "inspector", "clients", "launcher", "build");
  const child = Bun.spawn(
    [
      process.execPath,
      join(program, "index.js"),
      ...["--cli", url, "--transport", "http", "--protocol-era", era, "--format", "json", "--quiet", ...args],
    ],
    { env: { PATH: process.env["PATH"], HOME: folder }, stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  try {
    const printed = Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
    const code = await until(child.exited, "the Inspector to end", 30_000);
    const [output, complaint] = await printed;
    if (code !== 0) throw new Error(`the Inspector ended with ${code}\n${output}${complaint}`);
    return JSON.parse(output);
  } finally {
    child.kill("SIGKILL");
  }
}

/** The names of a server's tools. */
export async function toolsOf(url: string, era: Era): Promise<string[]> {
  const { result } = Tools.parse(await inspect(url, era, ["--method", "tools/list"]));
  return result.tools.map(({ name }) => name);
}

/** What a tool answers. */
export async function callTool(url: string, era: Era, tool: string, args: Record<string, unknown>): Promise<unknown[]> {
  const { result } = Content.parse(
    await inspect(url, era, [
      ...["--method", "tools/call", "--tool-name", tool],
      ...["--tool-args-json", JSON.stringify(args)],
    ]),
  );
  return result.content;
}
