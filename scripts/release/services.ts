// The five programs as services.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { PROGRAMS, type ProgramName } from "../../cmd/called.ts";
import { programs } from "../../cmd/programs.ts";
import { fill } from "./fill.ts";

const root = join(import.meta.dir, "..", "..");
/** A template below packaging/. */
export const template = (path: string): string => readFileSync(join(root, "packaging", path), "utf8");

export interface Service {
  readonly name: ProgramName;
  readonly summary: string;
  /** In one line, for lists of packages. */
  readonly title: string;
  /** Name of its files in /etc/nfrx, without what they end with. */
  readonly config: string;
}

const titles: Readonly<Record<ProgramName, string>> = {
  nfrx: "one public, OpenAI-compatible address for private AI services",
  "nfrx-llm": "agent that serves a language model server through nfrx",
  "nfrx-mcp": "relay that makes an MCP server reachable through nfrx",
  "nfrx-asr": "agent that serves a speech recognition server through nfrx",
  "nfrx-docling": "agent that serves a Docling server through nfrx",
};

export const services: readonly Service[] = PROGRAMS.map(name => {
  const program = programs.find(one => one.name === name);
  if (program === undefined) throw new Error(`no program is called ${name}`);
  const { summary, configFile } = program;
  return { name, summary, title: titles[name], config: configFile.replace(/\.yaml$/, "") };
});

/** The systemd unit of a program that lies in `bin`. */
export function unit({ name, title, config }: Service, bin: string): string {
  const broker = name === "nfrx";
  return fill(template("systemd/unit.service"), {
    NAME: name,
    BIN: bin,
    DESCRIPTION: title.replace(/^./, first => first.toUpperCase()),
    SETTINGS: [
      ...(broker
        ? []
        : ["# Retry while the broker or the private service is unavailable.", "Environment=RECONNECT=true"]),
      ...(name === "nfrx-mcp" ? MCP_HOME : []),
      `# Settings in this file take precedence over /etc/nfrx/${config}.yaml.`,
      // Made by packages before 0.2; the keys of new installations are in server.yaml.
      ...(broker ? ["EnvironmentFile=-/etc/nfrx/keys.env"] : []),
      `EnvironmentFile=-/etc/nfrx/${config}.env`,
    ].join("\n"),
    STOP: broker ? "6min" : "90s",
    // Members of the group nfrx may open the broker's control socket.
    RUNTIME_MODE: broker ? "0750" : "0700",
    SANDBOX: broker ? LOW_PORTS : name === "nfrx-mcp" ? STDIO : "A drop-in can allow more.",
  });
}

const LOW_PORTS = `For a port below 1024, in a drop-in:
#   AmbientCapabilities=CAP_NET_BIND_SERVICE
#   CapabilityBoundingSet=CAP_NET_BIND_SERVICE
#   PrivateUsers=no`;

const STDIO = `The programs that it starts (MCP_STDIO_COMMAND) run in the same sandbox: they can use
# the network and write to their home, /var/lib/nfrx-mcp, and to /tmp. To allow more, use a drop-in with:
#   BindPaths=/srv/notes          files to change (BindReadOnlyPaths= to read those that are hidden, as in /home)
#   ProtectHome=read-only         home directories to read
#   PrivateDevices=no             devices
#   RestrictNamespaces=no         a browser, or another program with its own sandbox; also set
#   SystemCallFilter=             on a separate line, which removes the filter
#   User=somebody                 to run as another user`;

const MCP_HOME = [
  "# Directories for programs that it starts, such as npx and uvx.",
  "Environment=HOME=/var/lib/nfrx-mcp XDG_CACHE_HOME=/var/cache/nfrx-mcp npm_config_cache=/var/cache/nfrx-mcp/npm",
];
