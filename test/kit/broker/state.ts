// What tests read of a broker's state: every field is checked against its declaration.
import { moduleState, relaysState, serverState } from "../../../src/modules/state.ts";
import { call } from "../http/call.ts";
import { API_KEY } from "../world.ts";

const KEY = { Authorization: `Bearer ${API_KEY}` };

/** The envelope, parts that are not served left out. Throws when a field is missing, too many or not as declared. */
export function parseState(text: string) {
  const { plugins } = JSON.parse(text) as { plugins: Record<string, unknown> };
  const module = (id: string) => (id in plugins ? moduleState.parse(plugins[id]) : undefined);
  return {
    server: serverState.parse(plugins["server"]),
    llm: module("llm"),
    asr: module("asr"),
    docling: module("docling"),
    mcp: "mcp" in plugins ? relaysState.parse(plugins["mcp"]) : undefined,
    jobs: plugins["jobs"],
  };
}

/** Asks a broker for its state. */
export async function stateOf({ origin }: { origin: string }) {
  const { status, body } = await call(`${origin}/api/state`, { headers: KEY });
  if (status !== 200) throw new Error(`GET /api/state answered ${status}`);
  return parseState(body.toString());
}

/** What the state says of a worker module; llm unless told. */
export async function moduleOf(broker: { origin: string }, id: "llm" | "asr" | "docling" = "llm") {
  const module = (await stateOf(broker))[id];
  if (module === undefined) throw new Error(`the state has no ${id}`);
  return module;
}

export const ADMIN_KEY = "test-admin-key";

/** Asks for an operator action. */
export async function operate(
  { origin }: { origin: string },
  module: string,
  id: string,
  action: string,
  headers: Record<string, string> = { Authorization: `Bearer ${ADMIN_KEY}` },
): Promise<{ status: number; answer: unknown; headers: [string, string][] }> {
  const path = `/api/admin/${module}/workers/${encodeURIComponent(id)}/${action}`;
  const { status, body, headers: said } = await call(origin + path, { method: "POST", headers });
  return { status, answer: JSON.parse(body.toString()), headers: said };
}
