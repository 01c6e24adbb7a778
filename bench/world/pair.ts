/** A broker and its agents: our own binaries, or a peer's with the same names and environment. */
import { accessSync, constants } from "node:fs";
import { join, resolve } from "node:path";
import type { Child, Children } from "./children.ts";
import { freePort, until, type Way, type WayKind } from "./way.ts";

const API_KEY = "bench-api-key";
const WITH_KEY = { headers: { authorization: `Bearer ${API_KEY}` } };
/** What agents bring. */
export const CLIENT_KEY = "bench-client-key";

/** A broker and agents; `env` goes to all of them. */
export function pairWay(name: string, dir: string, env: Readonly<Record<string, string>> = {}): WayKind {
  const broker = program(dir, "nfrx");
  const agent = program(dir, "nfrx-llm");
  return {
    name,
    async start(children, backendPort, setup): Promise<Way> {
      const { port, child: brokerChild, readyMs } = await startBroker(name, broker, children, env);
      const agents = Array.from({ length: setup.agents }, (_, index) =>
        children.start(`${name} agent ${index + 1}`, [agent], {
          LOG_LEVEL: "info",
          CLIENT_KEY,
          SERVER_URL: `ws://127.0.0.1:${port}/api/llm/connect`,
          COMPLETION_BASE_URL: `http://127.0.0.1:${backendPort}/v1`,
          MAX_CONCURRENCY: `${setup.maxConcurrency}`,
          EMBEDDING_BATCH_SIZE: `${setup.embeddingBatch}`,
          // Named, because some make ids from the clock and four workers start within a second.
          CLIENT_ID: `bench-${index + 1}`,
          CLIENT_NAME: `bench-${index + 1}`,
          METRICS_PORT: `127.0.0.1:${freePort()}`,
          RECONNECT: "true",
          DRAIN_TIMEOUT: "0",
          ...env,
        }),
      );
      const connectedMs = await until(`${name} has ${setup.agents} workers`, [brokerChild, ...agents], async () => {
        const state = await (await fetch(`http://127.0.0.1:${port}/api/state`, WITH_KEY)).text();
        return state.split('"connected_at"').length > setup.agents;
      });
      return {
        name,
        parts: [
          { name: "broker", children: [brokerChild], readyMs },
          { name: "agent", children: agents, readyMs: connectedMs },
        ],
        target: path => ({ port, path: `/api/llm${path}`, token: API_KEY }),
      };
    },
  };
}

async function startBroker(
  name: string,
  path: string,
  children: Children,
  env: Readonly<Record<string, string>> = {},
): Promise<{ port: number; child: Child; readyMs: number }> {
  const port = freePort();
  const child = children.start(`${name} broker`, [path], {
    LOG_LEVEL: "info",
    API_KEY,
    CLIENT_KEY,
    HOST: "127.0.0.1",
    PORT: `${port}`,
    METRICS_PORT: `${port}`,
    MAX_BODY_BYTES: `${2 ** 30}`,
    LLM_QUEUE_SIZE: "4096",
    JOBS_STORE: "memory",
    DRAIN_TIMEOUT: "0",
    ...env,
  });
  const readyMs = await until(
    `${name} broker is up`,
    [child],
    async () => (await fetch(`http://127.0.0.1:${port}/healthz`)).ok,
  );
  return { port, child, readyMs };
}

/** A broker alone. */
export function brokerWay(name: string, dir: string): WayKind {
  const broker = program(dir, "nfrx");
  return {
    name,
    async start(children): Promise<Way> {
      const { port, child } = await startBroker(name, broker, children);
      return { name, parts: [{ name: "broker", children: [child] }], target: path => ({ port, path, token: API_KEY }) };
    },
  };
}

/** A broker and a relay in front of the backend's /mcp. */
export function relayWay(name: string, dir: string): WayKind {
  const broker = program(dir, "nfrx");
  const relay = program(dir, "nfrx-mcp");
  return {
    name,
    async start(children, backendPort): Promise<Way> {
      const { port, child: brokerChild } = await startBroker(name, broker, children);
      const agent = children.start(`${name} relay`, [relay], {
        LOG_LEVEL: "info",
        CLIENT_KEY,
        SERVER_URL: `ws://127.0.0.1:${port}/api/mcp/connect`,
        PROVIDER_URL: `http://127.0.0.1:${backendPort}/mcp`,
        CLIENT_ID: "bench",
        RECONNECT: "true",
      });
      const address = `http://127.0.0.1:${port}/api/mcp/id/bench`;
      await until(
        `${name} has its relay`,
        [brokerChild, agent],
        async () => (await fetch(address, WITH_KEY)).status === 405,
      );
      return {
        name,
        parts: [
          { name: "broker", children: [brokerChild] },
          { name: "agent", children: [agent] },
        ],
        target: () => ({ port, path: "/api/mcp/id/bench", token: API_KEY }),
      };
    },
  };
}

function program(dir: string, name: string): string {
  const path = resolve(dir, process.platform === "win32" ? `${name}.exe` : name);
  try {
    accessSync(path, constants.X_OK);
  } catch {
    throw new Error(`${join(dir, name)} is missing; \`npm run build\` makes ours, --skip-own leaves it out`);
  }
  return path;
}
