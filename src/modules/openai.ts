// What OpenAI-compatible servers are asked about themselves.
import { z } from "zod";
import { messageOf } from "../lib/errors.ts";
import type { FetchJson, ProbeResult } from "./module.ts";

const modelList = z.object({ data: z.array(z.object({ id: z.string() })).nullish() });
const tagList = z.object({ models: z.array(z.object({ name: z.string() })).nullish() });
const props = z.object({ build_info: z.string() });
const ollamaVersion = z.object({ version: z.string() });

/**
 * The models of the server at `baseUrl` (with its /v1), in OpenAI's or Ollama's way, and its version. Rejects when the
 * models cannot be had; a version that cannot be had is left out.
 */
export async function probeOpenai(
  baseUrl: string,
  style: "openai" | "ollama",
  fetchJson: FetchJson,
): Promise<ProbeResult> {
  const parent = baseUrl.replace(/\/v1$/, "");
  const models = style === "ollama" ? await ollamaModels(parent, fetchJson) : await openaiModels(baseUrl, fetchJson);
  return { models: [...new Set(models)].sort(), facts: await backendVersion(parent, fetchJson) };
}

async function openaiModels(baseUrl: string, fetchJson: FetchJson): Promise<string[]> {
  const list = modelList.safeParse(await fetchJson(`${baseUrl}/models`));
  if (!list.success) throw new Error("the backend's answer to GET /models is not a list of models");
  return (list.data.data ?? []).map(model => model.id);
}

async function ollamaModels(parent: string, fetchJson: FetchJson): Promise<string[]> {
  const list = tagList.safeParse(await fetchJson(`${parent}/api/tags`));
  if (!list.success) throw new Error("the backend's answer to GET /api/tags is not a list of models");
  return (list.data.models ?? []).map(model => model.name);
}

/** llama.cpp tells its build at /props, Ollama its version at /api/version; others say nothing. */
async function backendVersion(parent: string, fetchJson: FetchJson): Promise<Record<string, string>> {
  const llamaCpp = props.safeParse(await ask(`${parent}/props`, fetchJson));
  if (llamaCpp.success) return { backend_version: llamaCpp.data.build_info, backend_family: "llama.cpp" };
  const ollama = ollamaVersion.safeParse(await ask(`${parent}/api/version`, fetchJson));
  if (ollama.success) return { backend_version: ollama.data.version, backend_family: "ollama" };
  return {};
}

async function ask(url: string, fetchJson: FetchJson): Promise<unknown> {
  try {
    return await fetchJson(url);
  } catch (error) {
    return { unavailable: messageOf(error) };
  }
}
