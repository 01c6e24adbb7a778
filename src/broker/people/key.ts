// A caller's key: what is kept of it, and what it may do.
import { GlobList } from "./glob.ts";
import type { Limit } from "./limit.ts";

/** Prefix of every key: some clients insist on `sk-`. */
const KEY_PREFIX = "sk-nfrx-";
/** Random bytes of a key, 43 characters of base64url. */
const KEY_BYTES = 32;

/** The scope that stands for all others. */
const ADMIN_SCOPE = "admin";
/** The scope of what a caller may ask about itself. */
export const SELF_SCOPE = "me";
const AGENT_SCOPE = "client";
/** Default scopes of a key. */
export const DEFAULT_SCOPES = ["llm", "asr", "docling", "mcp", "jobs", "transfer"] as const;
export const DEFAULT_WEIGHT = 10;
export const WEIGHT_MAX = 100;

/** The stored properties of a key. Of the key itself only digests are stored. */
export interface KeyRecord {
  /** `k_` and 16 letters and digits. It stays the same when the key is rotated. */
  readonly id: string;
  readonly name: string;
  /** The person it belongs to; several keys may belong to one. */
  readonly person: string;
  readonly scopes: readonly string[];
  /** Patterns of the models it may use; undefined for all. */
  readonly models: readonly string[] | undefined;
  /** Milliseconds since 1970. */
  readonly expiresAt: number | undefined;
  /** It may name the person behind each request. */
  readonly app: boolean;
  /** Its part of the slots when requests wait, from 1 to WEIGHT_MAX. */
  readonly weight: number;
  readonly limits: readonly Limit[];
  readonly createdAt: number;
  /** Where it stands: keys of the configuration file cannot be changed elsewhere. */
  readonly source: "store" | "file";
}

/**
 * True when a key with these scopes may use what asks for `scope`. `mcp` holds for every `mcp:<relay>`, and every key may ask
 * about itself. None stands for an agent: those have CLIENT_KEY, or are paired.
 */
export function allows(scopes: readonly string[], scope: string): boolean {
  if (scope === SELF_SCOPE) return true;
  if (scope === AGENT_SCOPE) return false;
  if (scopes.includes(ADMIN_SCOPE) || scopes.includes(scope)) return true;
  const colon = scope.indexOf(":");
  return colon > 0 && scopes.includes(scope.slice(0, colon));
}

/** Which models a key may use; undefined when it may use all. */
export function modelsOf({ models }: Pick<KeyRecord, "models">): GlobList | undefined {
  return models === undefined ? undefined : new GlobList(models);
}

/** A new key. */
export function makeKey(): string {
  return KEY_PREFIX + Buffer.from(crypto.getRandomValues(new Uint8Array(KEY_BYTES))).toString("base64url");
}

/** A new id of a key, machine or invitation. */
export function makeId(prefix: string): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `${prefix}_${[...bytes].map(byte => ID_LETTERS[byte % ID_LETTERS.length]).join("")}`;
}

/** 32 letters and digits, without those that look alike: each byte gives one without a bias. */
const ID_LETTERS = "abcdefghijkmnpqrstuvwxyz23456789";
