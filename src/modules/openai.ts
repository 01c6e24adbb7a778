// What OpenAI-compatible servers are asked about themselves.
import { z } from "zod";
import { messageOf } from "../lib/errors.ts";
import { joinUrl } from "../lib/join-url.ts";
import type { Ask, ProbeResult } from "./module.ts";

const modelList = z.object({ data: z.array(z.object({ id: z.string() })).nullish() });
const tagList = z.object({ models: z.array(z.object({ name: z.string() })).nullish() });
const props = z.object({ build_info: z.string() });
const ollamaVersion = z.object({ version: z.string() });

/**
 * The models of the server at `baseUrl` (with its /v1), in OpenAI's or Ollama's way, and its version. Rejects when the
 * models cannot be had; a version that cannot be had is left out.
 */
export async function probeOpenai(baseUrl: string, style: "openai" | "ollama", ask: Ask): Promise<ProbeResult> {
  const parent = besideV1(baseUrl);
  const models = style === "ollama" ? await ollamaModels(parent, ask) : await openaiModels(baseUrl, ask);
  return { models, facts: await backendVersion(parent, ask) };
}

/** The address that the /v1 of `baseUrl` is below: where servers have what is not OpenAI's. */
export function besideV1(baseUrl: string): string {
  return baseUrl.replace(/\/v1\/?(?=$|\?)/, "");
}

/** The models at `baseUrl` (with its /v1), in OpenAI's way. Rejects when they cannot be had. */
export async function openaiModels(baseUrl: string, ask: Ask): Promise<string[]> {
  const list = modelList.safeParse(await askJson(joinUrl(baseUrl, "/models"), ask));
  if (!list.success) throw new Error("the backend's answer to GET /models is not a list of models");
  return distinct((list.data.data ?? []).map(model => model.id));
}

async function ollamaModels(parent: string, ask: Ask): Promise<string[]> {
  const list = tagList.safeParse(await askJson(joinUrl(parent, "/api/tags"), ask));
  if (!list.success) throw new Error("the backend's answer to GET /api/tags is not a list of models");
  return distinct((list.data.models ?? []).map(model => model.name));
}

function distinct(names: string[]): string[] {
  return [...new Set(names)].sort();
}

/** llama.cpp tells its build at /props, Ollama its version at /api/version; others say nothing. */
async function backendVersion(parent: string, ask: Ask): Promise<Record<string, string>> {
  const llamaCpp = props.safeParse(await tryJson(joinUrl(parent, "/props"), ask));
  if (llamaCpp.success) return { backend_version: llamaCpp.data.build_info, backend_family: "llama.cpp" };
  const ollama = ollamaVersion.safeParse(await tryJson(joinUrl(parent, "/api/version"), ask));
  if (ollama.success) return { backend_version: ollama.data.version, backend_family: "ollama" };
  return {};
}

async function askJson(url: string, ask: Ask): Promise<unknown> {
  return JSON.parse(await ask(url));
}

async function tryJson(url: string, ask: Ask): Promise<unknown> {
  try {
    return await askJson(url, ask);
  } catch (error) {
    return { unavailable: messageOf(error) };
  }
}
