import { z } from "zod";
import { type Register, registerMessage } from "../../protocol/messages.ts";
import type { Liveness } from "../../protocol/wire.ts";
import { wireOf } from "../../protocol/wire-of.ts";
import type { Handshake } from "../pool/agent-acceptor.ts";

/** How a relay of the older series introduces itself. */
const oldGreeting = z.object({
  id: z.string().max(128).nullish(),
  client_name: z.string().nullish(),
  client_key: z.string().nullish(),
  token: z.string().nullish(),
});

/** True for the facts of a relay that shares its id with others. */
export function isReplica(facts: Readonly<Record<string, string>> | undefined): boolean {
  return facts?.["mcp_replicas"] === "true";
}

/**
 * How relays introduce themselves. One of ours registers as workers do, its id being the only model; one of the older
 * series says its id alone, and is answered the one it has.
 */
export function relayHandshake(liveness: Liveness, slots: number, fields: Handshake["fields"]): Handshake {
  return {
    liveness,
    fields,
    wire: version => wireOf(version, "mcp"),
    parse: text => parseOld(text, slots) ?? parseRegister(text),
    objection: ({ models: [id = ""] = [] }) =>
      /^[\w.~-]{1,128}$/.test(id)
        ? undefined
        : "the ID must have 1 to 128 letters, digits, dots, dashes or underscores",
    holders: ({ worker_id, models: [id = ""] = [], agent_config }, workers) => {
      const holders = workers.records(id).filter(worker => worker.present);
      const own = holders.filter(worker => worker.id === worker_id);
      const others = holders.filter(worker => worker.id !== worker_id);
      return [agent_config, ...others.map(holder => holder.facts)].every(isReplica) ? own : holders;
    },
    greeting: (register, version) => (version === 1 ? JSON.stringify({ id: register.models?.[0] }) : undefined),
  };
}

function parseRegister(text: string): Register | undefined {
  const register = registerMessage.safeParse(parse(text));
  return register.success && register.data.models?.length === 1 ? register.data : undefined;
}

function parseOld(text: string, slots: number): Register | undefined {
  const frame = parse(text);
  if (typeof frame !== "object" || frame === null || "type" in frame) return undefined;
  const old = oldGreeting.safeParse(frame);
  if (!old.success) return undefined;
  const id = old.data.id || crypto.randomUUID();
  return registerMessage.parse({
    type: "register",
    // Each connection is a worker of its own, so that a second one cannot push the first aside.
    worker_id: crypto.randomUUID(),
    worker_name: old.data.client_name,
    client_key: old.data.client_key,
    token: old.data.token,
    models: [id],
    max_concurrency: slots,
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
