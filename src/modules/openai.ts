// Queries OpenAI-compatible servers about themselves.
import { z } from "zod";
import { messageOf } from "../lib/errors.ts";
import { joinUrl } from "../lib/join-url.ts";
import { StatusError } from "../lib/status-error.ts";
import { readModelList } from "./model-list.ts";
import type { Ask, ProbeResult } from "./module.ts";

const BYTE_ORDER_MARK = "\uFEFF";

const props = z.object({ build_info: z.string() });
const ollamaVersion = z.object({ version: z.string() });

/** Model options of an agent. */
export interface ModelOptions {
  /** Configured names: the backend is not queried then. */
  readonly models: readonly string[];
  readonly style?: "openai" | "ollama";
}

/**
 * The models of the server at `baseUrl` (with its /v1), in OpenAI's or Ollama's way, and its version. Rejects when the
 * models cannot be had; a version that cannot be had is left out.
 */
export async function probeOpenai(
  baseUrl: string,
  { models, style = "openai" }: ModelOptions,
  ask: Ask,
): Promise<ProbeResult> {
  if (models.length > 0) return { models: [...models], facts: style === "ollama" ? { backend_family: "ollama" } : {} };
  const parent = parentOfV1(baseUrl);
  const found = style === "ollama" ? await ollamaModels(parent, ask) : await openaiModels(baseUrl, ask);
  return { ...found, facts: await backendVersion(parent, ask) };
}

/** The parent of the /v1 of `baseUrl`, where servers have their own routes. */
export function parentOfV1(baseUrl: string): string {
  return baseUrl.replace(/\/v1\/?(?=$|\?)/, "");
}

type Models = Pick<ProbeResult, "models" | "details" | "warning">;

/** The models at `baseUrl` (with its /v1), in OpenAI's way, or in Ollama's where there is no such list. Rejects when they cannot be had. */
export async function openaiModels(baseUrl: string, ask: Ask): Promise<Models> {
  const url = joinUrl(baseUrl, "/models");
  try {
    return await modelsAt(url, ask);
  } catch (error) {
    if (!(error instanceof StatusError) || !NO_LIST.has(error.status)) throw error;
    try {
      return await ollamaModels(parentOfV1(baseUrl), ask);
    } catch {
      throw new Error(`${error.message}: the backend does not list its models; set MODELS`);
    }
  }
}

/** Statuses of a server without such a list. */
const NO_LIST: ReadonlySet<number> = new Set([404, 405, 501]);

function ollamaModels(parent: string, ask: Ask): Promise<Models> {
  return modelsAt(joinUrl(parent, "/api/tags"), ask);
}

async function modelsAt(url: string, ask: Ask): Promise<Models> {
  const list = readModelList(await askJson(url, ask));
  if (list === undefined) throw new Error(`the response to GET ${url} is not a list of models`);
  const { models, details, skipped } = list;
  const warning = skipped === 0 ? undefined : `GET ${url}: skipped ${skipped} entries without a usable id`;
  return { models, details, ...(warning !== undefined && { warning }) };
}

/** llama.cpp reports its build at /props, Ollama its version at /api/version; others report nothing. */
async function backendVersion(parent: string, ask: Ask): Promise<Record<string, string>> {
  const llamaCpp = props.safeParse(await tryJson(joinUrl(parent, "/props"), ask));
  if (llamaCpp.success) return { backend_version: llamaCpp.data.build_info, backend_family: "llama.cpp" };
  const ollama = ollamaVersion.safeParse(await tryJson(joinUrl(parent, "/api/version"), ask));
  if (ollama.success) return { backend_version: ollama.data.version, backend_family: "ollama" };
  return {};
}

async function askJson(url: string, ask: Ask): Promise<unknown> {
  const text = await ask(url);
  return JSON.parse(text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text);
}

async function tryJson(url: string, ask: Ask): Promise<unknown> {
  try {
    return await askJson(url, ask);
  } catch (error) {
    return { unavailable: messageOf(error) };
  }
}
