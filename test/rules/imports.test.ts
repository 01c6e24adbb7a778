// Imports run one way: lib ← protocol, config ← modules ← broker, agent ← demo ← cmd ← scripts ← test.
import { describe, expect, test } from "bun:test";
import { join, posix } from "node:path";

const root = join(import.meta.dir, "..", "..");

/** A room → what its files may import besides their own room. A whole room, or one file of it. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  "src/lib": [],
  "src/protocol": ["src/lib"],
  "src/config": ["src/lib"],
  "src/modules": ["src/lib", "src/config"],
  "src/broker": [
    "src/lib",
    "src/protocol",
    "src/config",
    "src/modules/module",
    "src/modules/route",
    "src/modules/state",
  ],
  "src/agent": ["src/lib", "src/protocol", "src/config", "src/modules/module"],
  "src/demo": ["src"],
  cmd: ["src"],
  scripts: ["src", "cmd", "test"],
  bench: [],
};

/**
 * A folder of the broker → the folders that it may import besides itself. The files beside them and compose/ put all of
 * them together, and none of these imports one of those.
 */
const brokerMayImport: Readonly<Record<string, readonly string[]>> = {
  http: [],
  listen: ["http"],
  pool: ["http"],
  observe: ["http", "pool"],
  operator: ["http", "pool"],
  people: ["http"],
  // Operators' commands: they share the API's shapes with the routes that answer them.
  cli: ["http", "people"],
  proxy: ["http", "pool", "observe"],
  transfer: ["http", "pool", "observe"],
  jobs: ["http", "pool", "observe"],
  // A call to a relay is an exchange as a request to a worker is.
  relay: ["http", "pool", "observe", "proxy"],
};

/** Within a room: the folder → folders that it must not import. */
const mustNotImport: Readonly<Record<string, readonly string[]>> = {
  "src/broker/jobs/store": ["src/broker/jobs/queue", "src/broker/jobs/http"],
  "src/broker/jobs/queue": ["src/broker/jobs/http"],
  "src/agent/providers/channels": ["src/agent/providers/sessions"],
};

const within = (path: string, place: string) => path === place || path.startsWith(`${place}/`);
const roomOf = (path: string) => /^(?:src\/[^/]+|[^/]+)(?=\/)/.exec(path)?.[0];

/** The relative paths that a source names: import, export … from, import(), require(), import("…").Type. */
function importsOf(source: string): string[] {
  const named = /(?:\bfrom|\bimport|\brequire)\s*\(?\s*(["'`])(\.{1,2}(?:\/[^"'`]*)?)\1/g;
  return [...source.matchAll(named)].map(([, , path = ""]) => path);
}

const targetsOf = (file: string, source: string): string[] =>
  importsOf(source).map(path => posix.join(posix.dirname(file), path).replace(/\.(?:ts|js)$/, ""));

/** The imports of one file that go against the order of the folders in its room. */
function disorder(file: string, source: string): string[] {
  const targets = targetsOf(file, source);
  const forbidden = Object.entries(mustNotImport).flatMap(([folder, others]) => (within(file, folder) ? others : []));
  const folder = /^src\/broker\/([^/]+)\//.exec(file)?.[1];
  const allowed = folder === undefined || folder === "compose" ? undefined : brokerMayImport[folder];
  if (folder !== undefined && folder !== "compose" && allowed === undefined)
    return [`${file} lies in no known folder of the broker`];
  const inOrder = (target: string): boolean =>
    !forbidden.some(place => within(target, place)) &&
    (allowed === undefined ||
      !within(target, "src/broker") ||
      [folder, ...allowed].some(place => within(target, `src/broker/${place}`)));
  return targets.filter(target => !inOrder(target)).map(target => `${file} imports ${target}`);
}

/** What is wrong with the imports of one file; its path counts from the root of the repository, with forward slashes. */
function violations(file: string, source: string): string[] {
  const room = roomOf(file);
  const allowed = room === undefined ? undefined : mayImport[room];
  if (room === undefined || allowed === undefined) return [`${file} lies in no known room`];
  return targetsOf(file, source)
    .filter(target => !mayName(target, [room, ...allowed]))
    .map(target => `${file} imports ${target}`);
}

function mayName(target: string, allowed: readonly string[]): boolean {
  // Files at the top, as package.json, and texts beside the code, as doc/, belong to nobody.
  const code = ["src", "cmd", "scripts", "test", "bench"].some(place => within(target, place));
  return (!code && !target.startsWith("..")) || allowed.some(place => within(target, place));
}

/** A circle in a graph of imports, as "a → b → a"; undefined when there is none. */
function circleIn(graph: ReadonlyMap<string, readonly string[]>): string | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string | undefined => {
    if (path.includes(file)) return [...path.slice(path.indexOf(file)), file].join(" → ");
    if (done.has(file)) return undefined;
    path.push(file);
    for (const target of graph.get(file) ?? []) {
      const circle = visit(target);
      if (circle !== undefined) return circle;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const circle = visit(file);
    if (circle !== undefined) return circle;
  }
  return undefined;
}

describe("imports form no circle", () => {
  test("in src/, those of types included", async () => {
    const graph = new Map<string, string[]>();
    for await (const path of new Bun.Glob("src/**/*.ts").scan(root)) {
      const file = path.replaceAll("\\", "/");
      const source = await Bun.file(join(root, file)).text();
      graph.set(
        file,
        importsOf(source).map(target => posix.join(posix.dirname(file), target)),
      );
    }
    expect(graph.size).toBeGreaterThan(0);
    expect(circleIn(graph)).toBeUndefined();
  });

  test("a circle is named", () => {
    const graph = new Map([
      ["start", ["a", "c"]],
      ["a", ["b", "end"]],
      ["b", ["c"]],
      ["c", ["a"]],
    ]);
    expect(circleIn(graph)).toBe("a → b → c → a");
    graph.set("c", ["end"]);
    expect(circleIn(graph)).toBeUndefined();
  });
});

describe("imports keep to the order of folders", () => {
  test("in every file", async () => {
    const found: string[] = [];
    let files = 0;
    for await (const path of new Bun.Glob("src/{broker,agent}/**/*.ts").scan(root)) {
      const file = path.replaceAll("\\", "/");
      found.push(...disorder(file, await Bun.file(join(root, file)).text()));
      files++;
    }
    expect(found).toEqual([]);
    expect(files).toBeGreaterThan(0);
  });

  test.each([
    ["src/broker/http/mount.ts", 'import type { Pool } from "../pool/pool.ts";'],
    ["src/broker/pool/pool.ts", 'import { BrokerMetrics } from "../observe/metrics.ts";'],
    ["src/broker/jobs/queue/service.ts", 'import type { Exchange } from "../../proxy/exchange.ts";'],
    ["src/broker/observe/state.ts", 'import type { Broker } from "../broker.ts";'],
    ["src/broker/proxy/pipeline.ts", 'import { compose } from "../compose/compose.ts";'],
    ["src/broker/elsewhere/file.ts", ""],
    ["src/broker/jobs/store/sqlite.ts", 'import { JobService } from "../queue/service.ts";'],
    ["src/agent/providers/channels/child.ts", 'import { Session } from "../sessions/session.ts";'],
  ])("a wrong one in %s is seen: %s", (file, source) => {
    expect(disorder(file, source)).toHaveLength(1);
  });

  test.each([
    ["src/broker/broker.ts", 'import "./compose/compose.ts"; import "./jobs/jobs.ts";'],
    ["src/broker/compose/compose.ts", 'import "../app.ts"; import "../relay/relays.ts";'],
    ["src/broker/relay/relay.ts", 'import "../proxy/exchange.ts"; import "./relays.ts"; import "../../lib/log.ts";'],
    [
      "src/broker/jobs/http/routes.ts",
      'import "../queue/service.ts"; import "../job.ts"; import "../../http/mount.ts";',
    ],
  ])("a right one in %s passes: %s", (file, source) => {
    expect(disorder(file, source)).toEqual([]);
  });
});

describe("imports run one way", () => {
  test("in every file", async () => {
    const found: string[] = [];
    let files = 0;
    for await (const path of new Bun.Glob("{src,cmd,scripts,bench}/**/*.{ts,mjs}").scan(root)) {
      const file = path.replaceAll("\\", "/");
      found.push(...violations(file, await Bun.file(join(root, file)).text()));
      files++;
    }
    expect(found).toEqual([]);
    expect(files).toBeGreaterThan(0);
  });

  test.each([
    ["src/lib/time.ts", 'import { x } from "../protocol/link.ts";'],
    ["src/protocol/link.ts", 'import type { Options } from "../config/options.ts";'],
    ["src/config/options.ts", 'export * from "../protocol/limits";'],
    ["src/modules/llm.ts", 'type Pool = import("../broker/pool/registry.ts").Pool;'],
    ["src/broker/app.ts", 'import "../modules/llm.ts";'],
    ["src/broker/app.ts", 'import { parse } from "../modules/openai.ts";'],
    ["src/broker/proxy/relay.ts", 'import {\n  type Forward,\n} from "../../agent/forward.ts";'],
    ["src/agent/run.ts", 'const broker = await import("../broker/app.ts");'],
    ["src/agent/run.ts", 'export { demo } from "../demo/index.ts";'],
    ["src/demo/index.ts", 'import "../../cmd/nfrx.ts";'],
    ["src/lib/time.ts", 'import { until } from "../kit/time/until.ts";'],
    ["src/lib/time.ts", 'import fact from "../../../elsewhere/fact.json";'],
    ["cmd/nfrx.ts", "const build = require('../scripts/build.ts');"],
    ["bench/run.ts", 'import { VERSION } from "../src/lib/version.ts";'],
    ["src/elsewhere/file.ts", ""],
    ["src/stray.ts", ""],
  ])("a wrong one in %s is seen: %s", (file, source) => {
    expect(violations(file, source)).toHaveLength(1);
  });

  test.each([
    ["src/lib/version.ts", 'import pkg from "../../package.json" with { type: "json" };'],
    ["src/protocol/stream.ts", 'import { Failure } from "../lib/errors.ts"; import "./limits.ts";'],
    ["src/modules/llm.ts", 'import { usage } from "./openai.ts"; import { option } from "../config/option.ts";'],
    ["src/broker/app.ts", 'import type { WorkerModule } from "../modules/module.ts"; import "./pool/queue.ts";'],
    ["src/agent/providers/stdio.ts", 'import { run } from "../run.ts"; import { z } from "zod";'],
    ["src/demo/index.ts", 'import "../modules/llm.ts"; import "../broker/app.ts"; import "../agent/run.ts";'],
    ["cmd/nfrx.ts", 'import { llm } from "../src/modules/llm.ts";'],
    ["scripts/docs.ts", 'import { llm } from "../src/modules/llm.ts";'],
  ])("a right one in %s passes: %s", (file, source) => {
    expect(violations(file, source)).toEqual([]);
  });
});
